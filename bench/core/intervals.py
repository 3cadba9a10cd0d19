"""Confidence intervals that need no more than arithmetic."""

import math

Z = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion, within [0, 1].

    The formula is that of E. B. Wilson, Journal of the American Statistical Association 22 (1927),
    209-212, without a correction for continuity.

    Args:
        successes: Successes; need not be whole.
        trials: Trials, above zero; need not be whole.
    """
    share = successes / trials
    centre = share + Z**2 / (2 * trials)
    half = Z * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    low, high = ((centre + side * half) / (1 + Z**2 / trials) for side in (-1, 1))
    # Rounding would leave all of all just outside its own interval.
    return max(0.0, min(low, share)), min(1.0, max(high, share))
