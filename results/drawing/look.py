"""How figures look: sizes and fonts of the place they are for, and each source's style."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal, NamedTuple

Place = Literal["paper", "slides", "report"]
"""What a figure is for."""


class Style(NamedTuple):
    """The look of a source's marks."""

    colour: str
    marker: str


@dataclass(frozen=True)
class Look:
    """Sizes of a place; inches and points.

    Attributes:
        place: What it is for.
        column: Width of one column; a panel's.
        full: Width of the page, the largest a figure may have.
        text: Size of labels.
        small: Size of tick labels and notes; the smallest there is.
        line: Width of lines.
        marker: Size of markers.
    """

    place: Place
    column: float
    full: float
    text: float
    small: float
    line: float
    marker: float

    def settings(self) -> dict[Any, Any]:
        """Return matplotlib's settings; for `matplotlib.rc_context`."""
        return COMMON | {
            "font.size": self.text,
            "axes.titlesize": self.text,
            "axes.labelsize": self.text,
            "xtick.labelsize": self.small,
            "ytick.labelsize": self.small,
            "legend.fontsize": self.small,
            "lines.linewidth": self.line,
            "lines.markersize": self.marker,
        }


LOOKS: dict[Place, Look] = {
    # Columns and page of two-column conference papers such as CVPR's.
    "paper": Look("paper", 3.25, 6.875, 7.5, 6.5, 1.2, 4.5),
    "slides": Look("slides", 6.2, 12.6, 16, 14, 2.6, 10),
    # 355 pixels of a browser, which fit a phone; no text under 9 of them (6.75 points).
    "report": Look("report", 3.7, 3.7, 8, 7.2, 1.5, 5.5),
}

INK, MUTED, GRID, ENDED = "#222222", "#555555", "#E6E6E6", "#EBEBEB"
"""Text and axes; notes; grid lines; the range beyond the last retrieved image."""

HARM, GROUND = "#F8E4E1", "#FFFFFF"
"""Scores below the unadapted model's; what a figure is on, which edges of markers show."""

# As in Geng 2024, figure 2: gold squares, red triangles, blue circles. The hues are of Okabe and
# Ito's palette, told apart by the colour-blind; the markers serve black-and-white print.
STYLES = {
    "none": Style("#B8860B", "s"),
    "synthetic": Style("#C8102E", "^"),
    "retrieved": Style("#0072B2", "o"),
    "real": Style("#6B6B6B", "P"),
    "mixed": Style("#8A4FA3", "D"),
    "folder": Style("#009E73", "v"),
}

SPARE = [
    *(Style("#E69F00", "X"), Style("#56B4E9", "<"), Style("#CC79A7", "*")),
    *(Style("#117733", ">"), Style("#882255", "p"), Style("#44AA99", "h")),
]

# Matplotlib's type for this is the list of all its settings.
COMMON: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    # Names come from users: a dollar sign is a dollar sign.
    "text.parse_math": False,
    # The same records give the same file; text stays text.
    "svg.hashsalt": "figure",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def styles(arms: list[tuple[str, str]]) -> dict[str, Style]:
    """Return each label's style: its source's for the first of a source, spare ones for others.

    Args:
        arms: Label and source of each arm.
    """
    unused, spare = dict(STYLES), cycle(SPARE)
    return {
        label: unused.pop(source) if source in unused else next(spare)
        for label, source in sorted(set(arms))
    }
