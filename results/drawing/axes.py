"""Axes of panels: limits with room for what is written inside, and ticks that never touch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.core.size import format_size
from results.drawing.look import Look
from results.drawing.text import POINT, width

_GAP = 4 * POINT
"""Between two tick labels, at least."""


class Limits(NamedTuple):
    """The two ends of an axis."""

    low: float
    high: float


class Sizes(NamedTuple):
    """A horizontal axis of numbers of images on a log scale, and the unadapted model's place.

    Attributes:
        limits: Its ends, in images.
        zero: Where the model stands that learned from no image, in images.
        per_inch: Decades.
    """

    limits: Limits
    zero: float
    per_inch: float

    def shifted(self, size: float, inches: float) -> float:
        """Return what lies some inches to the right of a size."""
        return float(size * 10 ** (inches * self.per_inch))

    def share(self, size: float) -> float:
        """Return where a size is, from 0 on the left to 1."""
        low, high = map(math.log10, self.limits)
        return (math.log10(size) - low) / (high - low)


def vertical(values: Sequence[float], plot: float, *, below: float, above: float = 0.0) -> Limits:
    """Return limits with room inside.

    Args:
        values: What is shown; two points of range at least are.
        plot: The axis's height, in inches.
        below: Room below the least value, in inches.
        above: Room above the greatest.
    """
    low, high = min(values), max(values)
    spare = max(0.0, 2 - (high - low)) / 2
    low, high = low - spare, high + spare
    scale = (high - low) / (plot - below - above)
    return Limits(low - below * scale, high + above * scale)


def horizontal(
    sizes: Sequence[int], look: Look, axes_width: float, *, dodge: float, zero: bool
) -> Sizes:
    """Return the axis of some sizes.

    Args:
        sizes: Numbers of images, in order; none if only the unadapted model is shown.
        look: What the figure is for.
        axes_width: Inches.
        dodge: How far markers stand from their size, in inches.
        zero: Whether the unadapted model is shown.
    """
    low, high = math.log10(min(sizes, default=1)), math.log10(max(sizes, default=1))
    edge = (look.marker + 3) * POINT
    first = width(short(min(sizes, default=1)), look.small) / 2
    if zero:
        left = edge + first + width("0", look.small) / 2 + 2 * _GAP + dodge
    else:
        # Its label ends where those of the vertical axis begin.
        left = max(edge + dodge, first)
    right = edge + dodge
    room = axes_width - left - right
    per_inch = (high - low) / room if high > low else 1 / axes_width
    # A size by itself is in the middle.
    spare = 0.0 if high > low else room / 2
    ends = Limits(
        10 ** (low - (left + spare) * per_inch), 10 ** (high + (right + spare) * per_inch)
    )
    return Sizes(ends, 10 ** (math.log10(ends.low) + edge * per_inch), per_inch)


def dodges(arms: int, sizes: Sequence[int], look: Look, axes_width: float) -> list[float]:
    """Return how far to the right of their size each arm's markers stand, in inches.

    Together they take a third of the room between two sizes: marks are seen to be of theirs.
    """
    step = 0.9 * look.marker * POINT
    if len(sizes) > 1 and arms > 1:
        logs = np.log10(sorted(sizes))
        nearest = float(np.diff(logs).min() / (logs[-1] - logs[0])) * 0.8 * axes_width
        step = min(step, 0.35 * nearest / (arms - 1))
    return [(place - (arms - 1) / 2) * step for place in range(arms)]


def short(size: int) -> str:
    """Return a size as a tick shows it: exact with two decimals, or rounded to three digits."""
    exact = format_size(size)
    for unit, scale in (("M", 1_000_000), ("k", 1_000)):
        scaled = Decimal(size) / scale
        if scaled >= 1:
            if scaled == round(scaled, 2):
                return f"{scaled.normalize():f}{unit}"
            return f"{float(scaled):.3g}{unit}" if scaled < 1000 else exact
    return exact


def label_sizes(axes: Axes, axis: Sizes, sizes: Sequence[int], look: Look, *, zero: bool) -> None:
    """Put a tick at every size, and as many labels as have room, the largest's first."""
    axes.set_xscale("log")
    axes.set_xlim(*axis.limits)
    inches = axes.get_window_extent().width / axes.figure.get_dpi()
    shown: dict[float, str] = {}
    edge = math.inf
    for size in sorted(sizes, reverse=True):
        text, place = short(size), axis.share(size) * inches
        half = width(text, look.small) / 2
        if place + half + _GAP <= edge:
            shown[size] = text
            edge = place - half
    if zero:
        shown[axis.zero] = "0"
    axes.set_xticks(list(shown), list(shown.values()))
    axes.set_xticks(list(sizes), minor=True)
    axes.tick_params(axis="x", which="minor", labelbottom=False, length=0)
    axes.grid(visible=True, axis="x", which="minor")


def round_values(
    limits: Limits, plot: float, look: Look, within: tuple[float, float] = (-100, 100)
) -> list[float]:
    """Return what a vertical axis has ticks at: round numbers within its limits.

    Args:
        limits: Its ends.
        plot: Its height, in inches.
        look: What the figure is for.
        within: What values there can be; an axis may end beyond.
    """
    low, high = max(limits.low, within[0]), min(limits.high, within[1])
    most = max(2, min(6, int(plot / (3 * look.small * POINT))))
    values = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(*limits)
    return [round(float(value), 6) for value in values if low <= value <= high]


def signed(value: float) -> str:
    """Return a difference as a tick shows it."""
    return f"{value:+g}".replace("-", "\N{MINUS SIGN}") if value else "0"


def label_values(axes: Axes, limits: Limits, values: Sequence[float], texts: Sequence[str]) -> None:
    """Put ticks at some values of a vertical axis."""
    axes.set_ylim(*limits)
    axes.set_yticks(list(values), list(texts))
