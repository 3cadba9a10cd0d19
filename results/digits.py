"""How many digits a score is shown with: as many as its uncertainty leaves any meaning."""

import math
from collections.abc import Iterable

FEWEST, MOST = 1, 3
"""Digits behind the point: sentences of the conclusions have one; a test split of more than 50,000
images would be needed for a fourth."""


def decimals(half_widths: Iterable[float]) -> int:
    """Return the digits behind the point that a column of numbers needs.

    One more than the narrowest interval's half width needs to show its first digit: 74.1 with an
    interval of 2 points to either side, 74.13 with one of 0.4. So rounding never moves a number by
    more than a twentieth of its interval's half width.

    Args:
        half_widths: Half widths of the intervals, in the numbers' unit. What is not above 0, as
            that of a perfect score by some intervals, says nothing.
    """
    known = [width for width in half_widths if width > 0 and math.isfinite(width)]
    needed = 1 - math.floor(math.log10(min(known))) if known else FEWEST
    return min(max(needed, FEWEST), MOST)
