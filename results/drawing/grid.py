"""Panels on a figure, placed by the inch: what surrounds each has its room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.drawing.look import Look
from results.drawing.text import LEADING, POINT, fitted, height

MAX_ACROSS = 3
"""Panels in a row of a wide figure."""

PLOT_SHARE = 0.55
"""A plot's height, of a column's width."""

_PAD = 3 * POINT
_TICK = 3.5 * POINT
"""Between an axis and its labels."""


@dataclass(frozen=True)
class Grid:
    """Where the panels of a figure are; all lengths in inches.

    Attributes:
        look: What the figure is for.
        titles: Of the panels, one each.
        ylabel: What the vertical axes show; beside the first panel of each row.
        xlabel: What the horizontal axes show; below the last panel of each column.
        wide: Whether it may be as wide as a page.
        plot: Height of the axes.
        ticks: Width of the vertical axes' labels.
        right: Room on the right of each panel's axes.
        above: Room between each panel's title and its axes.
    """

    look: Look
    titles: Sequence[str]
    ylabel: str
    xlabel: str
    wide: bool
    plot: float
    ticks: float
    right: float
    above: float = 0.0

    @property
    def width(self) -> float:
        """The figure's."""
        return self.look.full if self.wide else self.look.column

    @property
    def across(self) -> int:
        """Panels in a row."""
        return across(self.look, len(self.titles), wide=self.wide)

    @property
    def down(self) -> int:
        """Rows."""
        return -(-len(self.titles) // self.across)

    @property
    def axes_width(self) -> float:
        """Of each panel's axes."""
        around = self._left + self.across * (self.ticks + _TICK + self.right) + 2 * _PAD
        return (self.width - around) / self.across

    @property
    def _ylabel(self) -> str:
        return fitted(self.ylabel, self.look.text, self.plot, 2)

    @property
    def _left(self) -> float:
        return height(self._ylabel, self.look.text) + _PAD

    def panels(self) -> tuple[Figure, list[Axes]]:
        """Return an empty figure and its panels' axes, with titles and labels."""
        look, room = self.look, self.axes_width + self.right - _PAD
        titles = [fitted(title, look.text, room, 3) for title in self.titles]
        title = max(height(text, look.text) for text in titles) + _PAD
        below = _TICK + look.small * LEADING * POINT
        row = title + self.above + self.plot + below + 2 * _PAD
        bottom = look.text * LEADING * POINT + _PAD
        total = self.down * row + bottom
        figure = Figure(figsize=(self.width, total))
        axes = []
        for place, text in enumerate(titles):
            y, x = divmod(place, self.across)
            left = _PAD + self._left + x * (self.axes_width + self.right + self.ticks + _TICK)
            left += self.ticks + _TICK
            base = total - y * row - _PAD - title - self.above - self.plot
            box = (left / self.width, base / total, self.axes_width / self.width, self.plot / total)
            panel = figure.add_axes(box)
            panel.tick_params(pad=_TICK / POINT, length=0)
            top = (base + self.plot + self.above + _PAD) / total
            figure.text(box[0], top, text, fontsize=look.text, va="baseline", linespacing=LEADING)
            if x == 0:
                middle = (base + self.plot / 2) / total
                figure.text(
                    _PAD / self.width, middle, self._ylabel, fontsize=look.text, rotation=90,
                    va="center", ha="left", multialignment="center",
                )  # fmt: skip
            if place + self.across >= len(titles):
                figure.text(
                    box[0] + box[2] / 2, (base - below - _PAD) / total, self.xlabel,
                    fontsize=look.text, va="top", ha="center",
                )  # fmt: skip
            axes.append(panel)
        return figure, axes


def across(look: Look, panels: int, *, wide: bool) -> int:
    """Return how many panels stand in a row."""
    return min(panels, MAX_ACROSS if wide and look.full > look.column else 1)
