"""How often equal arms are told apart, and unequal ones, by what an interval is over.

Usage: python tests/benchmarks/false_winners.py [--studies 1000]

A study is two arms' answers to 800 test images, simulated in tests/support/simulated.py. A winner
is an interval that leaves out 0, nominally in 5 % of studies of equal arms. The rivals of
results.statistics.paired.compare are an interval over test images alone, a bootstrap over seeds and
test images, and a linear mixed model.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.special import stdtr

from results.statistics.paired import compare
from tests.support.simulated import CLASSES, IMAGES, LABELS, Answers, Truth, simulate

GAPS = (1, 2, 3, 5)
TRUTHS = [
    *(Truth((3, 3), (spread, spread)) for spread in (0, 1, 2, 2.8, 4.6, 5)),
    Truth((4, 4), (2.8, 2.8)),
    *(Truth((5, 5), (spread, spread)) for spread in (0, 1, 2, 2.8, 4.6, 5)),
    Truth((3, 3), (0, 5)),
    Truth((3, 5), (5, 0)),
    Truth((3, 3), (2.8, 2.8), kept=0.5),
    Truth((3, 0), (0, 0)),
    Truth((3, 0), (2.8, 0)),
    Truth((3, 0), (5, 0)),
]
RESAMPLES = 400

OF_CLASS = IMAGES // CLASSES
# How often each image is resampled within its class, by IMAGES. Labels repeat every CLASSES images.
WEIGHTS = (
    np.random.default_rng(2)
    .multinomial(OF_CLASS, np.full(OF_CLASS, 1 / OF_CLASS), (RESAMPLES, CLASSES))
    .transpose(0, 2, 1)
    .reshape(RESAMPLES, IMAGES)
    / IMAGES
)

Judge = Callable[[Answers, Answers, Truth, np.random.Generator], bool]


def over_images(left: Answers, right: Answers, _: Truth, __: np.random.Generator) -> bool:
    left, right = (side.mean(axis=1, keepdims=True) for side in (left, right))
    return compare(left, right, LABELS, "accuracy").p < 0.05


def ours(left: Answers, right: Answers, truth: Truth, _: np.random.Generator) -> bool:
    seeded = (truth.seeds[0] > 0, truth.seeds[1] > 0)
    return compare(left, right, LABELS, "accuracy", seeded=seeded).p < 0.05


def bootstrap(left: Answers, right: Answers, _: Truth, random: np.random.Generator) -> bool:
    """Resample each arm's seeds, and the images of each class, and look at the percentiles."""
    means = []
    for side in (left, right):
        k = side.shape[1]
        seeds = random.multinomial(k, np.full(k, 1 / k), RESAMPLES)
        means.append(np.average(WEIGHTS @ side, axis=1, weights=seeds))
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return bool(low > 0 or high < 0)


def mixed_model(left: Answers, right: Answers, _: Truth, __: np.random.Generator) -> bool:
    """Fit image, image by arm, seed of an arm and residual; the arms' seeds vary alike.

    Least squares of balanced data are its restricted maximum likelihood, as long as no component is
    negative. The degrees of freedom are Satterthwaite's.
    """
    runs = [side.shape[1] for side in (left, right)]
    many = [side for side, k in zip((left, right), runs, strict=True) if k > 1]
    error, freedom = 0.0, sum(side.shape[1] - 1 for side in many)
    for side in many:
        residual = side - side.mean(axis=1, keepdims=True) - side.mean(axis=0) + side.mean()
        error += float((residual**2).sum()) / (IMAGES - 1)
    error /= freedom
    seeds = sum((side.shape[1] - 1) * side.mean(axis=0).var(ddof=1) for side in many) / freedom
    share = sum(1 / k for k in runs if k > 1)
    difference = left.mean(axis=1) - right.mean(axis=1)
    images = max(difference.var(ddof=1) - error * share, 0.0) / IMAGES
    variance = images + seeds * share
    degrees = variance**2 / ((seeds * share) ** 2 / freedom)
    return bool(2 * stdtr(degrees, -abs(difference.mean()) / np.sqrt(variance)) < 0.05)


def shares(judges: list[Judge], truth: Truth, studies: int) -> list[float]:
    """Return the share of studies in which each judge sees a winner, in percent."""
    random, resampling = (np.random.default_rng(seed) for seed in (0, 1))
    winners = np.zeros(len(judges))
    for _ in range(studies):
        left, right = simulate(truth, random)
        winners += [judge(left, right, truth, resampling) for judge in judges]
    return [float(count) for count in winners / studies * 100]


def row(truth: Truth, studies: int) -> str:
    seeds = " and ".join(str(k) if k else "unadapted" for k in truth.seeds)
    spread = f"{truth.spread[0]:g}"
    if truth.seeds[1] and truth.spread[1] != truth.spread[0]:
        spread += f" and {truth.spread[1]:g}"
    kept = ", or kept" if truth.kept else ""
    false = shares([over_images, bootstrap, mixed_model, ours], truth, studies)
    found = [shares([ours], truth._replace(gap=gap), studies // 4)[0] for gap in GAPS]
    cells = [*(f"{each:.1f}" for each in false), *(f"{each:.0f}" for each in found)]
    return f"| {seeds} | {spread}{kept} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1_000)
    arguments = parser.parse_args()
    judges = ["images alone", "bootstrap", "mixed model", "ours"]
    head = ["seeds", "their spread, points", *judges, *(f"gap {gap}" for gap in GAPS)]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for each in TRUTHS:
        print(row(each, arguments.studies), flush=True)
