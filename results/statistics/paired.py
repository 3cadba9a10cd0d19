"""How sure a difference on the same test images is: a bootstrap of many, McNemar's test of two."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import LabelArray

RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A difference with its 95 % interval over test images and its two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def metric_value(values: NDArray[np.float64], labels: LabelArray, metric: str) -> float:
    """Return the mean over images (``accuracy``) or over classes (``mean-per-class``)."""
    return float(sum(share * stratum.mean() for share, stratum in strata(values, labels, metric)))


def paired_bootstrap(
    differences: NDArray[np.float64], labels: LabelArray, metric: str, seed: int = 0
) -> Estimate:
    """Resample the test images within each class, both arms' answers to one image together.

    Args:
        differences: Per image, correctness in one arm minus in the other, float64 ``[n]``.
        labels: The images' classes, int64 ``[n]``.
        metric: ``accuracy`` or ``mean-per-class``.
        seed: Fixes the resamples.
    """
    random = np.random.default_rng(seed)
    values = np.zeros(RESAMPLES)
    for share, stratum in strata(differences, labels, metric):
        # Images with equal differences are exchangeable, so how often each distinct value is
        # resampled (a multinomial) says as much as which images were, in a fraction of the memory.
        distinct, counts = np.unique(stratum, return_counts=True)
        times = random.multinomial(len(stratum), counts / len(stratum), size=RESAMPLES)
        values += share * (times @ distinct) / len(stratum)
    low, high = np.quantile(values, [0.025, 0.975])
    value = metric_value(differences, labels, metric)
    return Estimate(value, float(low), float(high), _two_sided(values))


def strata(
    values: NDArray[np.float64], labels: LabelArray, metric: str
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield each class's share in the metric and its rows of values, ``[n]`` or ``[n, ...]``."""
    classes = np.unique(labels)
    for label in classes:
        rows = values[labels == label]
        yield 1 / len(classes) if metric == "mean-per-class" else len(rows) / len(values), rows


def mcnemar(left: NDArray[np.float64], right: NDArray[np.float64]) -> float | None:
    """Return McNemar's exact two-sided p-value: whether two runs err equally often.

    Only images that one run alone got right count: under the null hypothesis each is as likely to
    be the one run's as the other's. The test is of accuracy over all images, whatever the metric.

    Args:
        left: Per image, whether one run was right: 0 or 1, float64 ``[n]``.
        right: The other's, on the same images.

    Returns:
        The p-value, or None where answers are averages of several trials.
    """
    from scipy.stats import binomtest

    if not (np.isin(left, (0, 1)).all() and np.isin(right, (0, 1)).all()):
        return None
    ahead, behind = int((left > right).sum()), int((left < right).sum())
    return float(binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0


def _two_sided(values: NDArray[np.float64]) -> float:
    """Return twice the smaller tail beyond zero; one resample is added, so p is never exactly 0."""
    tail = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return min(1.0, 2 * (float(tail) + 1) / (len(values) + 1))
