"""Scores against the number of images used: a panel an evaluator, a line an arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.core.errors import RequestError
from results.database import queries
from results.drawing import axes as axis
from results.drawing import ends as labels
from results.drawing.drawn import Drawn
from results.drawing.fonts import add_fonts
from results.drawing.grid import PLOT_SHARE, Grid
from results.drawing.look import ENDED, GROUND, HARM, MUTED, STYLES, Look, Style, styles
from results.drawing.text import LEADING, POINT, Names, fit_names, height, width
from results.drawing.wanted import Wanted
from results.experiment import Experiment
from results.fidelity import caution
from results.figures._scaling_caption import caption, exhausted_at, hides_epochs, is_harmed
from results.labels import UNADAPTED, in_order
from results.wording import metric_names

HARMED = "worse than unadapted"

_DOTTED, _DASHED = (0, (1, 1.4)), (0, (4, 2))
_NAMES_SHARE = 0.3
"""Of a panel's width, at most, for the names of its lines."""

Marks = Sequence[tuple[str, str, int, float]]
"""Published values: evaluator, source, n and value in per cent."""


def draw(wanted: Wanted) -> Drawn:
    """Plot the scores of an experiment over n.

    Raises:
        RequestError: If no run has test scores by the evaluators wanted.
    """
    means = shown_means(wanted)
    marks = published_marks(wanted.experiment, means)
    names, figure = scaling_figure(
        means, [mark for mark, _ in marks], wanted.look, wide=wanted.wide
    )
    fidelity = queries.fidelity(wanted.connection, wanted.experiment)
    text = caption(
        wanted.experiment,
        means,
        names.key,
        published=list(dict.fromkeys(what for _, what in marks)),
        caution=caution(fidelity, wanted.experiment.preset, wanted.experiment.task),
    )
    return Drawn(figure, text, wanted.look)


def shown_means(wanted: Wanted) -> pd.DataFrame:
    """Return the means by the evaluators wanted, none of the unadapted model alone beside others.

    Raises:
        RequestError: If there are none.
    """
    means = queries.scaling(wanted.connection, wanted.experiment)
    adapted = means[means["source"] != UNADAPTED]
    there = in_order((means if adapted.empty else adapted)["evaluator"])
    evaluators = [name for name in wanted.evaluators or there if name in there]
    if not evaluators:
        raise RequestError(
            f"{wanted.experiment.title}: no finished run has test scores"
            + (f" by {', '.join(wanted.evaluators)}" if wanted.evaluators else ""),
            "look at `bench report` for failures",
        )
    order = pd.Categorical(means["evaluator"], evaluators)
    return means.assign(panel=order.codes)[order.codes >= 0].sort_values("panel", kind="stable")


def scaling_figure(
    means: pd.DataFrame, marks: Marks, look: Look, *, wide: bool
) -> tuple[Names, Figure]:
    """Plot means.

    Args:
        means: Rows of `results.database.queries.scaling`, by evaluator.
        marks: Published values.
        look: What for.
        wide: Whether it may be as wide as a page.

    Returns:
        What the lines are called, and the figure.
    """
    with mpl.rc_context(look.settings()):
        plan = _Plan.of(means, marks, look, wide=wide)
        figure, panels = plan.grid.panels()
        for panel, contents in zip(panels, plan.panels, strict=True):
            _Plot(panel, contents, plan).draw()
        add_fonts(figure)
    return plan.names, figure


@dataclass(frozen=True)
class _Contents:
    """What a panel shows: scores in per cent."""

    unadapted: pd.DataFrame
    adapted: pd.DataFrame
    marks: Marks
    limits: axis.Limits
    values: list[float]
    harmed: bool

    @classmethod
    def of(cls, means: pd.DataFrame, marks: Marks, look: Look, plot: float) -> _Contents:
        is_adapted = means["source"] != UNADAPTED
        unadapted, adapted = means[~is_adapted], means[is_adapted]
        pad = (look.marker / 2 + 2) * POINT
        harmed = is_harmed(means)
        harm = height(HARMED, look.small) if harmed else 0.0
        limits = axis.vertical(
            [*_values(means), *(value for *_, value in marks)], plot, below=pad + harm, above=pad
        )
        values = axis.round_values(limits, plot, look, within=(0, 100))
        return cls(unadapted, adapted, marks, limits, values, harmed)

    @property
    def sizes(self) -> list[int]:
        """All n, those of published values too."""
        published = {n for _, source, n, _ in self.marks if source != UNADAPTED}
        return sorted(set(self.adapted["n_used"]) | published)

    @property
    def has_zero(self) -> bool:
        """Whether the unadapted model is shown."""
        return not self.unadapted.empty or any(mark[1] == UNADAPTED for mark in self.marks)


@dataclass(frozen=True)
class _Plan:
    """What all panels share."""

    look: Look
    grid: Grid
    names: Names
    styles: dict[str, Style]
    panels: list[_Contents]

    @classmethod
    def of(cls, means: pd.DataFrame, marks: Marks, look: Look, *, wide: bool) -> _Plan:
        arms = list(dict.fromkeys(zip(means["label"], means["source"], strict=True)))
        evaluators = list(dict.fromkeys(means["evaluator"]))
        named = {label: "unadapted" if label == UNADAPTED else label for label, _ in arms}
        grid = Grid(
            look, evaluators, f"test {metric_names(means['metric'])} (%)",
            "images used (log scale)", wide, plot=0, ticks=0, right=0,
        )  # fmt: skip
        fit = fit_names(list(named.values()), look.small, _NAMES_SHARE * grid.width / grid.across)
        names = Names({label: fit.shown[name] for label, name in named.items()}, fit.key)
        # Labels are stacked without overlap where the plot is as high as all of them.
        stacked = sum(height(text, look.small) + 2 * POINT for text in names.shown.values())
        plot = max(PLOT_SHARE * look.column, stacked)
        panels = []
        for name in evaluators:
            own = [mark for mark in marks if mark[0] == name]
            panels.append(_Contents.of(means[means["evaluator"] == name], own, look, plot))
        ticks = max(width(f"{v:g}", look.small) for panel in panels for v in panel.values)
        ended = any(exhausted_at(panel.adapted) is not None for panel in panels)
        grid = Grid(
            look, grid.titles, grid.ylabel, grid.xlabel, wide, plot, ticks,
            right=labels.room(look, names.width(look.small)),
            above=look.small * LEADING * POINT if ended else 0.0,
        )  # fmt: skip
        return cls(look, grid, names, styles(arms), panels)


@dataclass(frozen=True)
class _Plot:
    """One panel as it is drawn."""

    axes: Axes
    contents: _Contents
    plan: _Plan

    def draw(self) -> None:
        """Draw everything."""
        contents, look, grid = self.contents, self.plan.look, self.plan.grid
        arms = list(dict.fromkeys(contents.adapted["label"]))
        shifts = axis.dodges(len(arms), contents.sizes, look, grid.axes_width)
        sizes = axis.horizontal(
            contents.sizes, look, grid.axes_width, dodge=max(shifts, default=0.0),
            zero=contents.has_zero,
        )  # fmt: skip
        texts = [f"{value:g}" for value in contents.values]
        axis.label_values(self.axes, contents.limits, contents.values, texts)
        axis.label_sizes(self.axes, sizes, contents.sizes, look, zero=contents.has_zero)
        self._shade(sizes)
        ends = [*self._unadapted(sizes)]
        for label, shift in zip(arms, shifts, strict=True):
            rows = contents.adapted[contents.adapted["label"] == label].sort_values("n_used")
            ends.append(self._arm(label, rows, sizes, shift))
        self._published(sizes)
        labels.label_ends(self.axes, look, ends, grid.axes_width, grid.plot)

    def _shade(self, sizes: axis.Sizes) -> None:
        """Shade where there are no more retrieved images, and where adapting does harm."""
        contents, look, grid = self.contents, self.plan.look, self.plan.grid
        if (end := exhausted_at(contents.adapted)) is not None:
            self.axes.axvspan(end, sizes.limits.high, color=ENDED, lw=0, zorder=0)
            text = f"pool ends at {axis.short(end)}"
            half = width(text, look.small) / 2
            middle = (sizes.share(end) + 1) / 2 * grid.axes_width
            most = grid.axes_width + grid.right - half - 2 * POINT
            x = max(half, min(middle, most)) / grid.axes_width
            self.axes.text(
                x, 1 + POINT / grid.plot, text, fontsize=look.small, color=MUTED, ha="center",
                va="bottom", transform=self.axes.transAxes,
            )  # fmt: skip
        if contents.harmed:
            level = 100 * contents.unadapted["mean"].max()
            low = contents.limits.low
            self.axes.axhspan(low, level, color=HARM, lw=0, zorder=0.1, alpha=0.8)
            self.axes.text(
                3 * POINT / grid.axes_width, 2 * POINT / grid.plot, HARMED, fontsize=look.small,
                color=MUTED, va="bottom", transform=self.axes.transAxes,
            )  # fmt: skip

    def _unadapted(self, sizes: axis.Sizes) -> Iterator[labels.End]:
        for row in self.contents.unadapted.to_dict("records"):
            style, level = self.plan.styles[row["label"]], 100 * row["mean"]
            self.axes.axhline(level, color=style.colour, linestyle=_DASHED, zorder=1.8)
            self._intervals(np.array([sizes.zero]), _percent(pd.DataFrame([row])), style)
            self.axes.plot([sizes.zero], [level], **self._mark(style))
            yield labels.End(self.plan.names.shown[row["label"]], style, 1.0, self._share(level))

    def _arm(self, label: str, rows: pd.DataFrame, sizes: axis.Sizes, shift: float) -> labels.End:
        """Draw an arm's means, the range of its seeds, and its intervals."""
        style, numbers = self.plan.styles[label], _percent(rows)
        x = np.array([sizes.shifted(n, shift) for n in rows["n_used"]])
        self.axes.fill_between(
            x, numbers["seed_min"], numbers["seed_max"], color=style.colour, alpha=0.16, lw=0
        )
        self._intervals(x, numbers, style)
        least, most = (
            [sizes.shifted(n, shift) for n in rows[name]] for name in ("n_used_min", "n_used_max")
        )
        self.axes.hlines(numbers["mean"], least, most, color=style.colour)
        self.axes.plot(x, numbers["mean"], linestyle="-", **self._mark(style))
        if hides_epochs(rows).any():
            trained = numbers["trained_mean"]
            self.axes.plot(x, trained, color=style.colour, linestyle=_DOTTED, zorder=1.9)
        last = float(numbers["mean"].iloc[-1])
        return labels.End(
            self.plan.names.shown[label], style, sizes.share(x[-1]), self._share(last)
        )

    def _intervals(self, x: Any, numbers: pd.DataFrame, style: Style) -> None:  # noqa: ANN401
        """Draw the intervals for the choice of test images."""
        mean = numbers["mean"]
        # A score of 100 % may be above its own limit, by rounding.
        around = [mean - numbers["test_low"], numbers["test_high"] - mean]
        self.axes.errorbar(
            x, mean, yerr=np.maximum(0, np.array(around)), fmt="none", ecolor=style.colour,
            elinewidth=self.plan.look.line * 0.6, capsize=self.plan.look.marker * 0.4,
            capthick=self.plan.look.line * 0.6,
        )  # fmt: skip

    def _published(self, sizes: axis.Sizes) -> None:
        """Draw published values as hollow marks of the source's shape."""
        look = self.plan.look
        for _, source, n, value in self.contents.marks:
            style = STYLES[source]
            hollow = self._mark(style) | {
                "markerfacecolor": "none", "markeredgecolor": style.colour,
                "markersize": look.marker * 1.5, "markeredgewidth": look.line * 0.8,
            }  # fmt: skip
            x = sizes.zero if source == UNADAPTED else n
            self.axes.plot([x], [value], zorder=3, **hollow)

    def _mark(self, style: Style) -> dict[str, Any]:
        return {
            "color": style.colour, "marker": style.marker, "markeredgecolor": GROUND,
            "markeredgewidth": 0.5, "clip_on": False,
        }  # fmt: skip

    def _share(self, value: float) -> float:
        low, high = self.contents.limits
        return (value - low) / (high - low)


def _percent(rows: pd.DataFrame) -> pd.DataFrame:
    names = ["mean", "seed_min", "seed_max", "test_low", "test_high", "trained_mean"]
    return 100 * rows[names].astype(float)


def _values(means: pd.DataFrame) -> list[float]:
    """Return all that is drawn, in per cent."""
    values = _percent(means).to_numpy().ravel()
    return [float(value) for value in values[~np.isnan(values)]]


def published_marks(
    experiment: Experiment, means: pd.DataFrame
) -> list[tuple[tuple[str, str, int, float], str]]:
    """Return published values of models that were adapted there too, and what each is."""
    from results.published import published

    return [
        (
            (value.evaluator, value.source, value.n, value.value),
            "; ".join(filter(None, [f"of {group.model}", group.where, group.note])),
        )
        for group, value in published(experiment, *set(means["metric"]))
        if group.objective and value.source in STYLES and value.evaluator in set(means["evaluator"])
    ]
