"""How many images of one arm are worth the images of another: the data-equivalence ratio.

Geng 2024 has one in prose (section 4): 31.25k retrieved images do what 2.5M synthetic ones do, a
ratio of 80.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import LabelArray
from results.labels import UNADAPTED
from results.statistics.paired import strata

RESAMPLES = 1_000

_Array = NDArray[np.float64]
_SIGNS: tuple[Literal["<", "", ">="], ...] = ("<", "", ">=")
_BELOW, _EXACT, _AT_LEAST = range(3)


@dataclass(frozen=True)
class Answers:
    """The answers of several runs to the same test images.

    Attributes:
        correct: 1 where the run was right, else 0, float64 ``[images, runs]``.
        labels: The images' classes, int64 ``[images]``.
        arm: Each run's arm, ``[runs]``; the unadapted model's is `UNADAPTED`.
        n: Images that each run used, int64 ``[runs]``.
        seed: Each run's seed, int64 ``[runs]``.
        metric: ``accuracy``, ``mean-per-class``, ``mean-average-precision`` or ``miou``.
    """

    correct: _Array
    labels: LabelArray
    arm: NDArray[np.str_]
    n: NDArray[np.int64]
    seed: NDArray[np.int64]
    metric: str


class Ratio(NamedTuple):
    """A ratio, or the bound beyond which the sizes that were tried cannot tell it."""

    value: float
    sign: Literal["<", "", ">="]


@dataclass(frozen=True)
class Equivalence:
    """The worth of arm b's images in images of arm a.

    Attributes:
        ratio: ``n_b / n_a``; None where b's images bought nothing, or did not in most resamples.
        low: Lower end of the 95 % interval; None without a ratio.
        high: Its upper end.
        n_a: Fewest images of a that reach the score, or the bound on them; for a ratio only.
        n_b: The fewest images of b that reach its best mean score.
        score: That score.
        unadapted: What the unadapted model scores; minus infinity where it was not run.
        without: Share of resamples in which b's images bought nothing.
        seeds: Seeds of a and of b.
    """

    ratio: Ratio | None
    low: Ratio | None
    high: Ratio | None
    n_a: float
    n_b: int
    score: float
    unadapted: float
    without: float
    seeds: tuple[int, int]


class Curve(NamedTuple):
    """Mean scores ``[resamples, sizes]`` at an arm's sizes, which ascend."""

    sizes: NDArray[np.int64]
    means: _Array


class Worth(NamedTuple):
    """What b's images are worth in images of a at one score.

    Attributes:
        score: The score that both are to reach.
        ratio: ``n_b / n_a``.
        low: Lower end of its 95 % interval.
        high: Its upper end.
    """

    score: float
    ratio: Ratio
    low: Ratio
    high: Ratio


def equivalence(answers: Answers, a: str, b: str, seed: int = 0) -> Equivalence | None:
    """Return the ratio of the n at which b does best to the n at which a scores as much.

    The idea is that of Geng 2024, section 4. A curve is the mean score over seeds, its running
    maximum, linear in log n between sizes. The score to reach is the maximum of b's curve, n_b the
    size at which b first reaches it: a maximum for either arm, lest noise favour the one that has
    it. (It still favours the arm that was tried at more sizes.)

    The interval is the percentile one of a bootstrap over test images (within classes, the same
    for all runs) and over seeds (the same for all runs). A resample in which b bought nothing needs
    no image of a: it counts as at least b's largest n over a's smallest. What validation data chose
    is kept; few seeds make the interval too narrow.

    Args:
        answers: The runs of both arms, and the unadapted model's.
        a: The arm to count in.
        b: The arm to be worth something.
        seed: Fixes the resamples.

    Returns:
        None unless both arms have two sizes, for a point is no curve.
    """
    if min(len(np.unique(answers.n[answers.arm == arm])) for arm in (a, b)) < 2:
        return None
    random = np.random.default_rng(seed)
    scores, weights = resampled_scores(answers, random), resampled_seeds(answers, random)
    curve_a, curve_b = (mean_curve(answers, arm, scores, weights) for arm in (a, b))
    (n_b, target), floor = _best(curve_b), _floor(answers, scores, weights)
    log_n, kind = _reach(curve_a, target)
    nothing = target <= floor
    log_ratio = np.where(nothing, np.log(curve_b.sizes[-1] / curve_a.sizes[0]), np.log(n_b) - log_n)
    kind = np.where(nothing, _AT_LEAST, kind)
    without = float(nothing[1:].mean())
    ratio = low = high = None
    if not nothing[0] and without <= 0.5:
        ratio = _ratio(log_ratio[0], kind[0])
        low, high = _interval(log_ratio[1:], kind[1:])
    return Equivalence(
        ratio=ratio,
        low=low,
        high=high,
        n_a=float(np.exp(log_n[0])),
        n_b=int(n_b[0]),
        score=float(target[0]),
        unadapted=float(floor[0]),
        without=without,
        seeds=(len(_seeds(answers, a)), len(_seeds(answers, b))),
    )


def exchange_rates(
    answers: Answers, a: str, b: str, points: int = 40, seed: int = 0
) -> list[Worth]:
    """Return the ratio at each score that b's images bought, with curves and resamples as above.

    In a resample the number of b's images stays, and the score to reach is theirs there: other test
    images raise or lower both arms.

    Args:
        answers: The runs of both arms, and the unadapted model's.
        a: The arm to count in.
        b: The arm to be worth something.
        points: Number of scores, evenly spaced up to the best of b's curve.
        seed: Fixes the resamples.

    Returns:
        Nothing unless both arms have two sizes and b's curve rises, above the unadapted model.
    """
    random = np.random.default_rng(seed)
    scores, weights = resampled_scores(answers, random), resampled_seeds(answers, random)
    curve_a, curve_b = (mean_curve(answers, arm, scores, weights) for arm in (a, b))
    if min(len(curve_a.sizes), len(curve_b.sizes)) < 2:
        return []
    floor = _floor(answers, scores, weights)
    lowest, best = max(curve_b.means[0, 0], floor[0]), curve_b.means[0].max()
    wanted = np.linspace(lowest, best, points + 1)[1:] if best > lowest else np.empty(0)
    return [_worth(curve_a, curve_b, floor, float(score)) for score in wanted]


def _worth(curve_a: Curve, curve_b: Curve, floor: _Array, score: float) -> Worth:
    log_b = _reach(curve_b, np.full(len(floor), score))[0][0]
    target = _at(curve_b, log_b)
    log_a, kind = _reach(curve_a, target)
    nothing = target <= floor
    log_ratio = log_b - np.where(nothing, np.log(curve_a.sizes[0]), log_a)
    kind = np.where(nothing, _AT_LEAST, kind)
    low, high = _interval(log_ratio[1:], kind[1:])
    return Worth(score, _ratio(log_ratio[0], kind[0]), low, high)


def _at(curve: Curve, log_n: float) -> _Array:
    """Return, per resample, a curve's height at a size."""
    best, log_sizes = np.maximum.accumulate(curve.means, axis=1), np.log(curve.sizes)
    right = int(np.clip(np.searchsorted(log_sizes, log_n), 1, len(log_sizes) - 1))
    part = (log_n - log_sizes[right - 1]) / (log_sizes[right] - log_sizes[right - 1])
    height: _Array = best[:, right - 1] * (1 - part) + best[:, right] * part
    return height.round(12)


def resampled_scores(answers: Answers, random: np.random.Generator) -> _Array:
    """Return each run's score, ``[1 + RESAMPLES, runs]``: as it is, then on resampled images."""
    scores = np.zeros((1 + RESAMPLES, answers.correct.shape[1]))
    for share, stratum in strata(answers.correct, answers.labels, answers.metric):
        images = len(stratum)
        times = random.multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
        scores += share * (_as_it_is_first(times) @ stratum) / images
    return scores


def resampled_seeds(answers: Answers, random: np.random.Generator) -> _Array:
    """Return how often each run's seed counts, ``[1 + RESAMPLES, runs]``: once, then resampled."""
    seeds = np.unique(answers.seed[answers.arm != UNADAPTED])
    times = random.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=RESAMPLES)
    counts: _Array = _as_it_is_first(times) @ (seeds[:, None] == answers.seed)
    return counts


def _as_it_is_first(times: NDArray[np.int64]) -> _Array:
    return np.vstack([np.ones(times.shape[1]), times])


def mean_curve(answers: Answers, arm: str, scores: _Array, weights: _Array) -> Curve:
    """Return an arm's mean scores over seeds at each of its sizes.

    Args:
        answers: The runs.
        arm: The arm's label.
        scores: Each run's score, ``[resamples, runs]``.
        weights: How often each run's seed counts, ``[resamples, runs]``.
    """
    sizes = np.unique(answers.n[answers.arm == arm])
    means = np.empty((len(scores), len(sizes)))
    for column, n in enumerate(sizes):
        runs = (answers.arm == arm) & (answers.n == n)
        times = weights[:, runs]
        # A size at which none of the resampled seeds was run keeps all that it has.
        times = np.where(times.any(axis=1, keepdims=True), times, 1.0)
        means[:, column] = np.average(scores[:, runs], axis=1, weights=times)
    # Often no epoch beats the unadapted model: such scores are equal, whatever order adds them up.
    return Curve(sizes, means.round(12))


def _floor(answers: Answers, scores: _Array, weights: _Array) -> _Array:
    """Return the unadapted model's score ``[resamples]``."""
    means = mean_curve(answers, UNADAPTED, scores, weights).means
    return means[:, 0] if means.size else np.full(len(scores), -np.inf)


def _best(curve: Curve) -> tuple[NDArray[np.int64], _Array]:
    """Return, per resample, the smallest size at which a curve is greatest, and its maximum."""
    return curve.sizes[curve.means.argmax(axis=1)], curve.means.max(axis=1)


def _reach(curve: Curve, target: _Array) -> tuple[_Array, NDArray[np.int64]]:
    """Return, per resample, the log n at which a curve reaches a score, and the ratio's kind."""
    best = np.maximum.accumulate(curve.means, axis=1)
    reached = best >= target[:, None]
    never, first = ~reached[:, -1], reached.argmax(axis=1)
    right = np.maximum(first, 1)
    resamples = np.arange(len(target))
    below, above = best[resamples, right - 1], best[resamples, right]
    inside = ~never & (first > 0)
    part = np.divide(target - below, above - below, out=np.zeros(len(target)), where=inside)
    log_sizes = np.log(curve.sizes)
    between = log_sizes[right - 1] + part * (log_sizes[right] - log_sizes[right - 1])
    log_n = np.where(never, log_sizes[-1], np.where(inside, between, log_sizes[0]))
    return log_n, np.where(never, _BELOW, np.where(inside, _EXACT, _AT_LEAST))


def _interval(log_ratio: _Array, kind: NDArray[np.int64]) -> tuple[Ratio, Ratio]:
    """Return the 2.5 % and 97.5 % resamples themselves: an end then knows if it is a bound.

    What is only known to be less than a number comes before all others for the lower end, what is
    known to be at least a number comes after all others for the upper end.
    """
    last = len(kind) - 1
    low = np.lexsort((log_ratio, kind != _BELOW))[round(0.025 * last)]
    high = np.lexsort((log_ratio, kind == _AT_LEAST))[round(0.975 * last)]
    return _ratio(log_ratio[low], kind[low]), _ratio(log_ratio[high], kind[high])


def _ratio(log_ratio: float, kind: int) -> Ratio:
    return Ratio(float(np.exp(log_ratio)), _SIGNS[kind])


def _seeds(answers: Answers, arm: str) -> NDArray[np.int64]:
    return np.unique(answers.seed[answers.arm == arm])
