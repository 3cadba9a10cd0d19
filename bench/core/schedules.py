"""Schedules: half a cosine between two values, a learning rate after a linear warm-up, a ramp."""

import math


def half_cosine(step: int, steps: int) -> float:
    """Return the factor at a step, from 0, of a fall from 1 to 0 over so many steps."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def cosine(first: float, last: float, step: int, steps: int) -> float:
    """Return the value at a step, from 0, of a change along half a cosine over so many steps."""
    return last + (first - last) * half_cosine(step, steps)


def ramp(first: float, last: float, step: int, steps: int) -> float:
    """Return the value at a step, from 0, of a linear change over so many steps; then the last."""
    return last if step >= steps else first + (last - first) * step / steps


def warmup_cosine(peak: float, step: int, warmup: int, steps: int) -> float:
    """Return the learning rate of a step, the first being 0.

    The training may end within the warm-up.

    Args:
        peak: The rate at the end of the warm-up.
        step: The step.
        warmup: Steps over which the rate rises linearly.
        steps: Steps of the whole training.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * half_cosine(step - warmup, steps - warmup)
