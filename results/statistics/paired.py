"""How sure a difference on the same test images is: over images and seeds, or between two runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import LabelArray

ENOUGH_SEEDS = 3
"""With fewer, a variance over seeds is a guess: with two, a 95 % interval is 12.7 errors wide."""

_Array = NDArray[np.float64]

Seeds = NDArray[np.int64]
"""Which seed of each kind a run had, ``[runs, kinds]``."""


@dataclass(frozen=True)
class Estimate:
    """A difference with its 95 % interval and its two-sided p-value.

    Attributes:
        value: The difference.
        low: Lower end of the interval.
        high: Its upper end.
        p: For the hypothesis that there is no difference.
        over_seeds: Whether interval and p are for other test images and other seeds, or for other
            test images alone.
    """

    value: float
    low: float
    high: float
    p: float
    over_seeds: bool


def metric_value(values: _Array, labels: LabelArray, metric: str) -> float:
    """Return the mean over classes (``mean-per-class``), or over images (every other metric)."""
    return float(_scores(values[:, None], _Classes.of(labels, metric))[0])


def compare(
    left: _Array,
    right: _Array,
    labels: LabelArray,
    metric: str,
    *,
    seeded: tuple[bool, bool] = (True, True),
    seeds: tuple[Seeds, Seeds] | None = None,
) -> Estimate:
    """Return the difference of two arms' means over seeds, left minus right.

    Its variance is the sum of two. That of the test images is of sampling within classes, both
    arms' answers to one image together. That of the seeds is each arm's variance between runs by
    its number of runs: arms share no seeds. Where runs share seeds of a kind, as those of several
    seeds of training do that learn from one sample of images, it is the sum over kinds of the
    variance between means by seed. Interval and p are of Student's t with the degrees of freedom of
    Welch (1947) and Satterthwaite (1946), for whom the images' variance is known. What a run gets
    right by chance is in both variances, so the interval is a little wide where seeds hardly
    differ. How often equal arms are told apart: tests/benchmarks/README.md,
    false_winners.py.

    Args:
        left: Per image and run, whether it was right, in what share of trials, or what it adds to
            the mean average precision, float64 ``[images, runs]``.
        right: The other arm's, on the same images.
        labels: The images' classes, int64 ``[images]``.
        metric: ``accuracy``, ``mean-per-class``, ``mean-average-precision`` or ``miou``.
        seeded: Which of the two would have come out otherwise with another seed; the unadapted
            model would not.
        seeds: Each arm's; None where each run has seeds of its own.

    Returns:
        The estimate; over test images alone where a seeded arm has fewer than `ENOUGH_SEEDS` of a
        kind that it varies.
    """
    # Equal means may differ in the last bit, by the order in which runs are added up.
    images = (left.mean(axis=1) - right.mean(axis=1)).round(12)
    classes = _Classes.of(labels, metric)
    by_kind = [
        _between_seeds(_scores(runs, classes), own)
        for runs, own, has_seeds in zip((left, right), seeds or (None, None), seeded, strict=True)
        if has_seeds
    ]
    fewest = min((count for kinds in by_kind for _, count in kinds), default=0)
    over_seeds = fewest >= ENOUGH_SEEDS
    of_seeds = [(variance, count - 1) for kinds in by_kind for variance, count in kinds]
    of_images = _variance_of_images(images, classes)
    value = float(_scores(images[:, None], classes)[0])
    return _student(value, of_images, of_seeds if over_seeds else [])


def strata(values: _Array, labels: LabelArray, metric: str) -> Iterator[tuple[float, _Array]]:
    """Yield each class's share in the metric and its rows of values, ``[n]`` or ``[n, ...]``."""
    classes = np.unique(labels)
    for label in classes:
        rows = values[labels == label]
        yield 1 / len(classes) if metric == "mean-per-class" else len(rows) / len(values), rows


def mcnemar(left: _Array, right: _Array) -> float | None:
    """Return McNemar's exact two-sided p-value: whether two runs err equally often.

    Only images that one run alone got right count: under the null hypothesis each is as likely to
    be the one run's as the other's. The test is of accuracy over all images, whatever the metric.

    Args:
        left: Per image, whether one run was right: 0 or 1, float64 ``[n]``.
        right: The other's, on the same images.

    Returns:
        The p-value, or None where answers are averages of several trials.
    """
    from scipy.special import bdtr

    if not all(((answers == 0) | (answers == 1)).all() for answers in (left, right)):
        return None
    ahead, behind = int((left > right).sum()), int((left < right).sum())
    return min(1.0, 2 * float(bdtr(min(ahead, behind), ahead + behind, 0.5)))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values of one family as Holm (1979) corrects them, in the order given.

    Of m, the least is multiplied by m, the next by m - 1, and so on; none falls below the one
    before it, none is above 1. The chance of any false finding among them is then at most 5 %.
    """
    p = np.asarray(values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return [float(each) for each in corrected]


class _Classes(NamedTuple):
    """The images' classes: which of them each image has, their sizes and shares in the metric."""

    which: NDArray[np.int64]
    sizes: NDArray[np.int64]
    shares: _Array

    @classmethod
    def of(cls, labels: LabelArray, metric: str) -> _Classes:
        _, which, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        alike = np.full(len(sizes), 1 / max(len(sizes), 1))
        return cls(which, sizes, alike if metric == "mean-per-class" else sizes / len(labels))

    def sums(self, values: _Array) -> _Array:
        """Return each class's sum of values ``[images]``."""
        sums: _Array = np.bincount(self.which, values, len(self.sizes)).astype(np.float64)
        return sums


def _scores(correct: _Array, classes: _Classes) -> _Array:
    """Return the metric of each column of ``[images, runs]``."""
    means = [classes.sums(column) / classes.sizes for column in correct.T]
    return np.array([classes.shares @ of_run for of_run in means])


def _between_seeds(scores: _Array, seeds: Seeds | None) -> list[tuple[float, int]]:
    """Return the variance of the mean score over each kind of seed that varied, and their number.

    Kinds that vary in step are one.
    """
    own = np.arange(len(scores))[:, None] if seeds is None else seeds
    groups = set()
    for kind in own.T:
        # A seed is known by the first run that has it, so that kinds in step look alike.
        _, first, which = np.unique(kind, return_index=True, return_inverse=True)
        groups.add(tuple(first[which].tolist()))
    varied = [group for group in sorted(groups) if len(set(group)) > 1]
    parts = []
    for group in varied:
        means = [scores[np.equal(group, seed)].mean() for seed in sorted(set(group))]
        parts.append((float(np.var(means, ddof=1)) / len(means), len(means)))
    return parts or [(0.0, 1)]


def _variance_of_images(differences: _Array, classes: _Classes) -> float:
    """Return the variance of a mean of differences ``[images]``, sampled within classes.

    For the variance alone, each class gets one more image, on which the arms are equal: five better
    out of five is not certainty. The factor undoes what that image takes from equal arms' variance.
    """
    n, sums = classes.sizes, classes.sums(differences)
    variances = (classes.sums(differences**2) - sums**2 / (n + 1)) / n
    return float(classes.shares**2 @ (variances * (n + 1) / n**2))


def _student(value: float, of_images: float, of_seeds: list[tuple[float, int]]) -> Estimate:
    """Return the estimate, given the images' variance, and the seeds' with degrees of freedom."""
    from scipy.special import stdtr, stdtrit

    over_seeds = bool(of_seeds)
    variance = of_images + sum(part for part, _ in of_seeds)
    if not variance:  # The arms are equal on every image, at every seed.
        return Estimate(value, value, value, 1.0, over_seeds)
    doubt = sum(part**2 / degrees for part, degrees in of_seeds)
    freedom = variance**2 / doubt if doubt else np.inf
    error = float(np.sqrt(variance))
    margin = float(stdtrit(freedom, 0.975)) * error
    p = float(2 * stdtr(freedom, -abs(value) / error))
    return Estimate(value, value - margin, value + margin, p, over_seeds)
