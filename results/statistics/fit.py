"""Saturating curves through an arm's scores, and what they predict beyond the sizes tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from results.statistics.equivalence import Answers, mean_curve, resampled_scores, resampled_seeds

FEWEST_SIZES = 3
"""A curve of three parameters says nothing of fewer sizes."""

_Array = NDArray[np.float64]

_RATES = np.geomspace(0.02, 4, 1_000)
"""Candidates for c. Below, curves are straight in log n; above, they are steps."""


class Saturating(NamedTuple):
    """Curves ``limit - gain * n ** -rate``, one per resample; each ``[resamples]``."""

    limit: _Array
    gain: _Array
    rate: _Array

    def at(self, n: _Array) -> _Array:
        """Return the scores at sizes ``[sizes]``, ``[resamples, sizes]``."""
        return self.limit[:, None] - self.gain[:, None] * n ** -self.rate[:, None]


@dataclass(frozen=True)
class Fit:
    """A curve through an arm's mean scores, and the 95 % interval of one more run's score.

    Attributes:
        limit: What the curve tends to as n grows, a share.
        limit_low: Lower end of its 95 % interval.
        limit_high: Its upper end.
        gain: ``b`` of ``a - b * n ** -c``.
        rate: Its ``c``.
        n: Sizes at which it is predicted, float64 ``[sizes]``.
        score: The curve there.
        low: Lower end of the prediction interval.
        high: Its upper end.
        over_seeds: Whether the interval holds the spread of seeds; False if each size has one run.
    """

    limit: float
    limit_low: float
    limit_high: float
    gain: float
    rate: float
    n: _Array
    score: _Array
    low: _Array
    high: _Array
    over_seeds: bool


def saturating(n: _Array, scores: _Array) -> Saturating:
    """Fit ``a - b * n ** -c`` by least squares, with a of 0 to 1.

    For a given c the best a and b are those of a straight line in ``n ** -c``, so c alone is
    searched for, on a grid, 0.5 % apart.

    Args:
        n: Sizes, ascending, float64 ``[sizes]``; three or more.
        scores: A row per resample, shares, float64 ``[resamples, sizes]``.
    """
    scaled = (n[0] / n) ** _RATES[:, None]
    centred = scaled - scaled.mean(axis=1, keepdims=True)
    slopes = scores @ centred.T / (centred**2).sum(axis=1)
    limits = scores.mean(axis=1, keepdims=True) - slopes * scaled.mean(axis=1)
    total = ((scores - scores.mean(axis=1, keepdims=True)) ** 2).sum(axis=1, keepdims=True)
    errors = total - slopes**2 * (centred**2).sum(axis=1)
    # Rounded, as of exact data several rates have errors of nothing but rounding.
    errors = np.where((limits >= 0) & (limits <= 1), errors.round(15), np.inf)
    best, rows = errors.argmin(axis=1), np.arange(len(scores))
    # A flat line fits where no rate has a limit that a score could have.
    usable = np.isfinite(errors[rows, best])
    slope = np.where(usable, slopes[rows, best], 0.0)
    limit = np.where(usable, limits[rows, best], scores.mean(axis=1))
    return Saturating(limit, -slope * n[0] ** _RATES[best], _RATES[best])


def fitted(answers: Answers, arm: str, to: float, seed: int = 0) -> Fit | None:
    """Return the curve of an arm, and what it predicts from its smallest size to another one.

    The interval is the percentile one of a bootstrap over test images (within classes) and seeds,
    each resample with a fit of its own, and, where sizes have several runs, with the deviation of a
    run from its size's mean, as one more run would have it.

    Args:
        answers: The runs of the arm, and others.
        arm: The arm's label.
        to: The largest size that is predicted.
        seed: Fixes the resamples.

    Returns:
        None if there are fewer than `FEWEST_SIZES` sizes.
    """
    random = np.random.default_rng(seed)
    scores, weights = resampled_scores(answers, random), resampled_seeds(answers, random)
    curve = mean_curve(answers, arm, scores, weights)
    if len(curve.sizes) < FEWEST_SIZES:
        return None
    fits = saturating(curve.sizes.astype(np.float64), curve.means)
    n = np.geomspace(curve.sizes[0], to, 80)
    predicted = fits.at(n)
    deviations = _deviations(answers, arm, scores[0])
    noise = random.choice(deviations, size=len(predicted) - 1)
    low, high = np.quantile(predicted[1:] + noise[:, None], (0.025, 0.975), axis=0).clip(0, 1)
    limit_low, limit_high = np.quantile(fits.limit[1:], (0.025, 0.975))
    return Fit(
        limit=float(fits.limit[0]),
        limit_low=float(limit_low),
        limit_high=float(limit_high),
        gain=float(fits.gain[0]),
        rate=float(fits.rate[0]),
        n=n,
        score=predicted[0],
        low=low,
        high=high,
        over_seeds=bool(deviations.any()),
    )


def _deviations(answers: Answers, arm: str, scores: _Array) -> _Array:
    """Return runs' deviations from the mean of their size, scaled as those of further runs."""
    deviations = [0.0]
    for n in np.unique(answers.n[answers.arm == arm]):
        runs = scores[(answers.arm == arm) & (answers.n == n)]
        if len(runs) > 1:
            # A mean of k has taken a k-th of the variance of each.
            deviations += [*((runs - runs.mean()) * np.sqrt(len(runs) / (len(runs) - 1)))]
    return np.array(deviations[1:] or deviations)
