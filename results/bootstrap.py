"""How sure a paired difference is, as far as the choice of test images goes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import LabelArray

DRAWS = 2_000


@dataclass(frozen=True)
class Estimate:
    """A difference with its 95 % interval over test images and its two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def metric_value(values: NDArray[np.float64], labels: LabelArray, metric: str) -> float:
    """Return the mean over images (``accuracy``) or over classes (``mean-per-class``)."""
    return float(sum(share * own.mean() for share, own in strata(values, labels, metric)))


def paired_bootstrap(
    differences: NDArray[np.float64], labels: LabelArray, metric: str, seed: int = 0
) -> Estimate:
    """Resample the test images within each class, both arms' answers to one image together.

    Args:
        differences: Per image, correctness in one arm minus in the other, float64 ``[n]``.
        labels: The images' classes, int64 ``[n]``.
        metric: ``accuracy`` or ``mean-per-class``.
        seed: Fixes the draws.
    """
    random = np.random.default_rng(seed)
    draws = np.zeros(DRAWS)
    for share, own in strata(differences, labels, metric):
        # Images with equal differences are exchangeable, so how often each distinct value is drawn
        # (a multinomial) says as much as which images were drawn, in a fraction of the memory.
        distinct, counts = np.unique(own, return_counts=True)
        drawn = random.multinomial(len(own), counts / len(own), size=DRAWS)
        draws += share * (drawn @ distinct) / len(own)
    low, high = np.quantile(draws, [0.025, 0.975])
    value = metric_value(differences, labels, metric)
    return Estimate(value, float(low), float(high), _two_sided(draws))


def strata(
    values: NDArray[np.float64], labels: LabelArray, metric: str
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield each class's share in the metric and its rows of values, ``[n]`` or ``[n, ...]``."""
    classes = np.unique(labels)
    for label in classes:
        own = values[labels == label]
        yield 1 / len(classes) if metric == "mean-per-class" else len(own) / len(values), own


def _two_sided(draws: NDArray[np.float64]) -> float:
    """Twice the smaller tail beyond zero; one draw is added so that p is never exactly 0."""
    tail = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    return min(1.0, 2 * (float(tail) + 1) / (len(draws) + 1))
