"""McNemar's exact test: whether two runs err equally often on the same test images."""

import numpy as np
from numpy.typing import NDArray


def mcnemar(left: NDArray[np.float64], right: NDArray[np.float64]) -> float | None:
    """Return the two-sided p-value; only images that one run alone got right tell anything.

    Under the null hypothesis each of them is as likely to be the one run's as the other's, so the
    smaller number is binomial. The test is of accuracy over all images, whatever the metric.

    Args:
        left: Per image, whether one run was right: 0 or 1, float64 ``[n]``.
        right: The other's, on the same images.

    Returns:
        The p-value, or None where answers are averages of several draws.
    """
    if not (np.isin(left, (0, 1)).all() and np.isin(right, (0, 1)).all()):
        return None
    difference = left - right
    ahead, behind = int((difference > 0).sum()), int((difference < 0).sum())
    n = ahead + behind
    ways: int = 1
    term: int = 1
    for k in range(min(ahead, behind)):
        term = term * (n - k) // (k + 1)
        ways += term
    # Whole numbers: neither a large n nor a small p costs a digit.
    p: float = 2 * ways / 2**n
    return min(1.0, p)


def spelt_p(values: list[float]) -> str:
    """Return a p-value, or the range of those of several seeds."""
    return " to ".join(
        dict.fromkeys(f"{p:.3f}" if p >= 0.001 else "< 0.001" for p in (min(values), max(values)))
    )
