"""What several figures share: panels with names at the ends of their lines, and captions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.core.errors import RequestError
from results import fidelity
from results.database import queries
from results.drawing import axes as axis
from results.drawing import ends as labels
from results.drawing.drawn import Drawn
from results.drawing.fonts import add_fonts
from results.drawing.grid import PLOT_SHARE, Grid
from results.drawing.look import Look, Style, styles
from results.drawing.text import POINT, Names, fit_names, height, width
from results.drawing.wanted import Wanted
from results.figures._scaling_caption import full_names, whole
from results.labels import in_order
from results.wording import listed, seed_count

_NAMES_SHARE = 0.32
"""Of a panel's width, what names beside it may take."""


class Line(NamedTuple):
    """The end of a line that is named; in the axes' units."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Frame:
    """A figure of panels.

    Attributes:
        look: What it is for.
        grid: Where its panels are.
        figure: The figure.
        panels: Their axes.
        names: What lines are called.
        styles: Line to how its marks look.
    """

    look: Look
    grid: Grid
    figure: Figure
    panels: list[Axes]
    names: Names
    styles: Mapping[str, Style]

    @classmethod
    def of(
        cls,
        wanted: Wanted,
        titles: Sequence[str],
        axes: tuple[str, str],
        styles: Mapping[str, Style],
        *,
        ticks: str = "00.0",
        above: float = 0.0,
    ) -> Frame:
        """Return empty panels; to be called with the look's settings.

        Args:
            wanted: Whose look and width it has.
            titles: Of the panels.
            axes: What the horizontal and the vertical axes show.
            styles: The lines that are named, and their marks.
            ticks: The widest label of a vertical axis.
            above: Room between titles and axes, in inches.
        """
        look = wanted.look
        xlabel, ylabel = axes
        grid = Grid(look, titles, ylabel, xlabel, wanted.wide, plot=0, ticks=0, right=0)
        room = _NAMES_SHARE * grid.width / grid.across
        names = fit_names(list(styles), look.small, room)
        stacked = sum(height(text, look.small) + 2 * POINT for text in names.shown.values())
        right = labels.room(look, names.width(look.small)) if styles else 6 * POINT
        grid = Grid(
            look, titles, ylabel, xlabel, wanted.wide, max(PLOT_SHARE * look.column, stacked),
            width(ticks, look.small), right, above,
        )  # fmt: skip
        figure, panels = grid.panels()
        return cls(look, grid, figure, panels, names, styles)

    def show_scores(self, axes: Axes, scores: Iterable[float]) -> None:
        """Give a panel a vertical axis that holds scores, in per cent."""
        pad = (self.look.marker / 2 + 2) * POINT
        seen = [float(score) for score in scores if not math.isnan(score)]
        limits = axis.vertical(seen, self.grid.plot, below=pad, above=pad)
        values = axis.round_values(limits, self.grid.plot, self.look, within=(0, 100))
        axis.label_values(axes, limits, values, [f"{value:g}" for value in values])

    def show_sizes(self, axes: Axes, sizes: Iterable[float], limits: axis.Limits) -> None:
        """Give a panel a horizontal axis of numbers of images, on a log scale."""
        per_inch = math.log10(limits.high / limits.low) / self.grid.axes_width
        whole_sizes = sorted({round(size) for size in sizes})
        scale = axis.Sizes(limits, limits.low, per_inch)
        axis.label_sizes(axes, scale, whole_sizes, self.look, zero=False)

    def name_lines(self, axes: Axes, lines: Sequence[Line]) -> None:
        """Write the names of lines beside a panel whose axes have their limits."""
        ends = []
        for line in lines:
            place = axes.transAxes.inverted().transform(axes.transData.transform(line[1:]))
            style = self.styles[line.name]
            ends.append(labels.End(self.names.shown[line.name], style, *map(float, place)))
        labels.label_ends(axes, self.look, ends, self.grid.axes_width, self.grid.plot)


def finished(
    wanted: Wanted,
    figure: Figure,
    parts: Sequence[str],
    names: Iterable[str],
    key: Mapping[str, str] | None = None,
) -> Drawn:
    """Return a figure with its caption.

    Args:
        wanted: What it was asked to show.
        figure: The figure.
        parts: The caption's sentences, the first without what it is of.
        names: What it shows that comes from users.
        key: Letter to the name that it stands for.
    """
    add_fonts(figure)
    experiment = wanted.experiment
    known = queries.fidelity(wanted.connection, experiment)
    first, *others = [*parts, *([f"names in full: {full_names(key)}"] if key else [])]
    caution = fidelity.caution(known, experiment.preset, experiment.task)
    sentences = [f"{first}: {experiment.title}", *others, *filter(None, [caution])]
    return Drawn(figure, whole([each.rstrip(".") for each in sentences], names), wanted.look)


def shown(wanted: Wanted, there: Iterable[str]) -> list[str]:
    """Return the evaluators to show, of those that there is something of."""
    known = set(there)
    if wanted.evaluators:
        return [evaluator for evaluator in wanted.evaluators if evaluator in known]
    return in_order(known)


def arms_of(wanted: Wanted, means: pd.DataFrame) -> tuple[str, str]:
    """Return the two arms to compare: those asked for, else the first retrieved and synthetic one.

    Raises:
        RequestError: If there are no two.
    """
    if wanted.arms:
        a, b = wanted.arms
        return a, b
    first = first_labels(means)
    missing = [source for source in ("retrieved", "synthetic") if source not in first]
    if missing:
        raise RequestError(
            f"{wanted.experiment.title} has no runs with {listed(missing)} images",
            "run a study of both arms, or name two with --arm",
        )
    return first["retrieved"], first["synthetic"]


def first_labels(means: pd.DataFrame) -> dict[str, str]:
    """Return each source's first label."""
    rows = means.sort_values("label").drop_duplicates("source")
    return dict(zip(rows["source"], rows["label"], strict=True))


def styles_of(means: pd.DataFrame) -> dict[str, Style]:
    """Return each label's style, given rows with a label and a source."""
    return styles(list(zip(means["label"], means["source"], strict=True)))


def percents(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return mean scores, and how far their intervals go below and above; ``[n]``, ``[2, n]``."""
    mean, low, high = 100 * rows[["mean", "test_low", "test_high"]].to_numpy(np.float64).T
    # A score of 100 % may be above its own limit, by rounding.
    return mean, np.maximum(0, [mean - low, high - mean])


def over_what(means: pd.DataFrame) -> str:
    """Return how many seeds and test images means are over, in words."""
    images = f"{int(means['test_images'].max()):,} test images"
    return f"{images} and {seed_count([int(means['seeds'].min()), int(means['seeds'].max())])}"
