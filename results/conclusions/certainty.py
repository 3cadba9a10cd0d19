"""How sure a difference is, in words."""

from collections.abc import Sequence

from results.pairs import Difference
from results.statistics.paired import ENOUGH_SEEDS
from results.wording import (
    agrees,
    covered,
    interval,
    number,
    p_value,
    p_values,
    seed_count,
    sign_of,
)

NEEDED = (
    f"A test over seeds takes {ENOUGH_SEEDS} seeds of each arm, and of its source where runs share "
    "images; with fewer, intervals are for the choice of test images alone."
)


def sign(difference: Difference) -> int:
    """Return 1 or -1 if the first arm is significantly better or worse, else 0."""
    return sign_of(difference.estimate.low, difference.estimate.high)


def certainty(
    difference: Difference, seeds: Sequence[int], sign: int = 1, *, each: bool = False
) -> str:
    """Return the interval, what it covers, and p-values or that seeds were not tested.

    Args:
        difference: What to judge.
        seeds: How many each adapted arm has.
        sign: 1, or -1 for the second arm less the first.
        each: Whether to say over what range the seeds differ.
    """
    estimate = difference.estimate
    low, high = sorted(sign * end for end in (estimate.low, estimate.high))
    text = interval(low, high, over=covered(over_seeds=estimate.over_seeds))
    by_seed = sorted(sign * value for value in difference.by_seed) if each else []
    ran = seed_count(seeds)
    if len(by_seed) > 1:
        ran += f", from {number(by_seed[0])} to {number(by_seed[-1])}"
    if not estimate.over_seeds:
        return f"{text}; {ran}: not tested over seeds"
    text += f", {p_value(estimate.p)}, Holm-corrected {p_values([difference.p_holm])}"
    return f"{text}; {ran}" if each else text


def every_seed_agrees(difference: Difference, sign: int) -> bool:
    """Return whether the same arm is ahead at each seed that both have."""
    return all(agrees(value, sign) for value in difference.by_seed)
