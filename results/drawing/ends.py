"""Names at the ends of lines, in place of a legend: none overlaps another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from results.drawing.look import GROUND, INK, Look, Style
from results.drawing.text import LEADING, POINT, height

_LEADER, _AFTER = 1.1 * POINT, 0.45 * POINT
"""From the axes to a label's marker, and from the marker to the name; by the size of its font."""

_SPARE = 2 * POINT
"""A label this far from its line's end needs no leader."""


class End(NamedTuple):
    """Where a line ends, and what stands there.

    Attributes:
        text: Its name, in lines.
        style: Its marks'.
        x: Where it ends, from 0 at the left of the axes to 1.
        y: Where it ends, from 0 at the bottom of the axes to 1.
    """

    text: str
    style: Style
    x: float
    y: float


def room(look: Look, names: float) -> float:
    """Return the inches that labels take on the right of the axes, given the widest name's."""
    return (_LEADER + _AFTER) * look.small + look.marker * POINT + names + 4 * POINT


def label_ends(axes: Axes, look: Look, ends: Sequence[End], width: float, plot: float) -> None:
    """Write the names of lines on the right of the axes, at their ends or with a leader there.

    Args:
        axes: The panel.
        look: What the figure is for.
        ends: Of the lines.
        width: The axes', in inches.
        plot: The axes' height, in inches.
    """
    heights = [height(end.text, look.small) + 1.5 * POINT for end in ends]
    middles = spread([end.y * plot for end in ends], heights, plot)
    marker = 1 + (_LEADER * look.small + look.marker * POINT / 2) / width
    name = marker + (look.marker * POINT / 2 + _AFTER * look.small) / width
    corners = [1 + 1.5 * POINT / width, 1 + (_LEADER * look.small - POINT) / width]
    for end, middle in zip(ends, middles, strict=True):
        y = middle / plot
        if end.x < 1 - 3 * look.small * POINT / width or abs(middle - end.y * plot) > _SPARE:
            leader = Line2D(
                [end.x, *corners], [end.y, end.y, y], color=end.style.colour, lw=look.line / 2,
                linestyle=(0, (1, 1)), transform=axes.transAxes, clip_on=False, zorder=1.5,
            )  # fmt: skip
            axes.add_artist(leader)
        mark = Line2D(
            [marker], [y], color=end.style.colour, marker=end.style.marker, linestyle="none",
            markersize=look.marker, markeredgecolor=GROUND, markeredgewidth=0.5,
            transform=axes.transAxes, clip_on=False,
        )  # fmt: skip
        axes.add_artist(mark)
        axes.text(
            name, y, end.text, fontsize=look.small, color=INK, va="center",
            linespacing=LEADING * 0.94, transform=axes.transAxes,
        )  # fmt: skip


def spread(wanted: Sequence[float], heights: Sequence[float], room: float) -> list[float]:
    """Return middles of labels as near as can be to those wanted, of which no two overlap.

    Nearest by least squares: what would overlap is stacked around its mean.

    Args:
        wanted: Middles, in any order and unit.
        heights: Of the labels; together no more than the room.
        room: They stay between 0 and this.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    blocks: list[_Block] = []
    for place in order:
        block = _Block([place], heights[place], wanted[place], room)
        while blocks and blocks[-1].top > block.bottom:
            block = blocks.pop().with_(block, wanted, heights)
        blocks.append(block)
    middles = [0.0] * len(wanted)
    for block in blocks:
        edge = block.bottom
        for place in block.places:
            middles[place] = edge + heights[place] / 2
            edge += heights[place]
    return middles


class _Block(NamedTuple):
    """Labels that are stacked, from the lowest; the middle is where they would like to be."""

    places: list[int]
    height: float
    middle: float
    room: float

    @property
    def bottom(self) -> float:
        return max(0.0, min(self.middle - self.height / 2, self.room - self.height))

    @property
    def top(self) -> float:
        return self.bottom + self.height

    def with_(self, upper: _Block, wanted: Sequence[float], heights: Sequence[float]) -> _Block:
        """Return this block with another on top."""
        places = [*self.places, *upper.places]
        total, edge, offsets = self.height + upper.height, 0.0, 0.0
        for place in places:
            offsets += wanted[place] - (edge + heights[place] / 2)
            edge += heights[place]
        return _Block(places, total, offsets / len(places) + total / 2, self.room)
