"""A saturating curve through each arm's scores, and what it predicts beyond the sizes tried."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes

from bench.core.errors import RequestError
from results.conclusions.exchange import answers_of
from results.database import queries
from results.drawing.axes import Limits
from results.drawing.drawn import Drawn
from results.drawing.look import ENDED, GROUND, MUTED, Style
from results.drawing.wanted import Wanted
from results.figures._frame import (
    Frame,
    Line,
    finished,
    over_what,
    percents,
    shown,
    styles_of,
)
from results.figures._scaling_caption import selected
from results.labels import UNADAPTED
from results.statistics.fit import FEWEST_SIZES, Fit, fitted
from results.wording import listed, metric_names, number, percent

_BEYOND = 10
"""How many times the largest size curves are drawn to."""

_DODGE = 1.05
"""Marks of arms at one n are this factor apart, so that equal ones are seen."""

_ALL = 0.9995
"""A limit that is written as 100.0 %; what is left of one, as 0.0 %."""

_DASHED = (0, (4, 2))


def draw(wanted: Wanted) -> Drawn:
    """Draw a panel per evaluator: points, curves, and the prediction interval.

    Raises:
        RequestError: If no arm has three sizes with predictions.
    """
    means = queries.scaling(wanted.connection, wanted.experiment)
    adapted = means[means["label"] != UNADAPTED]
    fits = _fits(wanted, adapted)
    arms = sorted({label for curves in fits.values() for label in curves})
    marks = {label: style for label, style in styles_of(adapted).items() if label in arms}
    axes = "images used (log scale)", f"test {metric_names(adapted['metric'])} (%)"
    with mpl.rc_context(wanted.look.settings()):
        frame = Frame.of(wanted, list(fits), axes, marks)
        for panel, (evaluator, curves) in zip(frame.panels, fits.items(), strict=True):
            _plot(panel, adapted[adapted["evaluator"] == evaluator], curves, frame)
    names = [*adapted["label"], *fits]
    return finished(wanted, frame.figure, _caption(adapted, fits), names, frame.names.key)


def _fits(wanted: Wanted, adapted: pd.DataFrame) -> dict[str, dict[str, Fit]]:
    """Return the curve of each arm that has one, by evaluators that have any."""
    found: dict[str, dict[str, Fit]] = {}
    to = _BEYOND * adapted["n_used"].max() if len(adapted) else 0
    for evaluator in shown(wanted, adapted["evaluator"]):
        rows = adapted[adapted["evaluator"] == evaluator]
        sizes = rows.groupby("label")["n_used"].nunique()
        for arm in sizes.index[sizes >= FEWEST_SIZES]:
            answers = answers_of(wanted.connection, wanted.experiment, evaluator, [arm])
            fit = fitted(answers, arm, to) if answers else None
            if fit is not None:
                found.setdefault(evaluator, {})[arm] = fit
    if not found:
        raise RequestError(
            f"{wanted.experiment.title}: no arm has predictions at {FEWEST_SIZES} sizes, and a "
            "saturating curve cannot be fitted to fewer",
            "run more sizes of n",
        )
    return found


def _plot(axes: Axes, means: pd.DataFrame, fits: dict[str, Fit], frame: Frame) -> None:
    """Plot the arms that have a curve."""
    look, means = frame.look, means[means["label"].isin(fits)]
    least, largest = means["n_used"].min(), means["n_used"].max()
    limits = Limits(least / 1.3, largest * _BEYOND)
    frame.show_sizes(axes, [*means["n_used"], limits.high], limits)
    ends = [end for fit in fits.values() for end in (*fit.low, *fit.high)]
    frame.show_scores(
        axes, [100 * each for each in (*ends, *means["test_low"], *means["test_high"])]
    )
    axes.axvspan(largest, limits.high, color=ENDED, linewidth=0, zorder=0)
    axes.text(
        0.99, 0.02, "extrapolated", transform=axes.transAxes, ha="right", fontsize=look.small,
        color=MUTED,
    )  # fmt: skip
    lines = []
    for place, (label, fit) in enumerate(fits.items()):
        style, rows = frame.styles[label], means[means["label"] == label].sort_values("n_used")
        dodge = _DODGE ** (place - (len(fits) - 1) / 2)
        _plot_points(axes, rows, style, look.line, dodge)
        _plot_curve(axes, fit, rows["n_used"].max(), style.colour)
        lines.append(Line(label, fit.n[-1], 100 * fit.score[-1]))
    frame.name_lines(axes, lines)


def _plot_points(axes: Axes, rows: pd.DataFrame, style: Style, line: float, dodge: float) -> None:
    mean, around = percents(rows)
    axes.errorbar(
        dodge * rows["n_used"], mean, yerr=around, fmt=style.marker, color=style.colour,
        elinewidth=line / 2, markeredgecolor=GROUND, markeredgewidth=line / 3,
    )  # fmt: skip


def _plot_curve(axes: Axes, fit: Fit, largest: float, colour: str) -> None:
    axes.fill_between(fit.n, 100 * fit.low, 100 * fit.high, color=colour, alpha=0.15, linewidth=0)
    tried = fit.n <= largest
    # Both parts have the point between them.
    border = int(tried.sum())
    for some, dash in ((slice(None, border), "-"), (slice(max(0, border - 1), None), _DASHED)):
        axes.plot(fit.n[some], 100 * fit.score[some], color=colour, linestyle=dash)


def _caption(adapted: pd.DataFrame, fits: dict[str, dict[str, Fit]]) -> list[str]:
    every = [fit for curves in fits.values() for fit in curves.values()]
    over = (
        "test images and seeds"
        if all(fit.over_seeds for fit in every)
        else ("test images, and over seeds where a size has several")
    )
    limits = [
        f"{percent(fit.limit)} ({number(fit.limit_low)} to {number(fit.limit_high)}) for {label} "
        f"by {evaluator}"
        for evaluator, curves in fits.items()
        for label, fit in curves.items()
    ]
    bounds = {
        "100.0": any(fit.limit_high > _ALL for fit in every),
        "0.0": any(fit.limit_low < 1 - _ALL for fit in every),
    }
    bound = " and ".join(end for end, reached in bounds.items() if reached)
    without = sorted(set(adapted["label"]) - {label for one in fits.values() for label in one})
    return [
        f"saturating curves through the test scores of {listed(list(fits))}, and what they predict "
        f"up to {_BEYOND} times the largest number of images tried",
        f"points: means with 95 % intervals over {over_what(adapted)}. Curves: a - b n^-c, fitted "
        "to each arm's means by least squares",
        f"band: 95 % prediction interval of one more run, by a bootstrap over {over}. Dashed: "
        "beyond the largest size of an arm, an extrapolation that supposes that the same curve "
        "goes on",
        f"as n grows without end, curves tend to {listed(limits)} (95 % intervals"
        + (f"; {bound} is where a score must end, not what was measured)" if bound else ")"),
        selected(adapted),
        *([f"no curve for {listed(without)}: fewer than {FEWEST_SIZES} sizes"] if without else []),
    ]
