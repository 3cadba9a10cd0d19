"""How many images of one arm are worth one image of another, at each score that both reach."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from bench.core.errors import RequestError
from results.conclusions.exchange import answers_of, exchange
from results.database import queries
from results.drawing.axes import Limits, round_values
from results.drawing.drawn import Drawn
from results.drawing.look import INK, MUTED, Look
from results.drawing.wanted import Wanted
from results.figures._frame import Frame, arms_of, finished, shown, styles_of
from results.statistics.equivalence import Ratio, Worth, exchange_rates
from results.wording import listed, metric_names

_DOTTED = (0, (1, 1.5))
_TIMES = "\N{MULTIPLICATION SIGN}"
_SIGNS = {"": "", ">=": "\N{GREATER-THAN OR EQUAL TO} ", "<": "< "}
_FEW_DECADES = 2.5
"""Axes that are shorter have ticks at 2 and 5 too."""


def draw(wanted: Wanted) -> Drawn:
    """Draw the ratio of numbers of images over the score to reach, a panel per evaluator.

    Raises:
        RequestError: If there are no two arms, or no evaluator by which the second one's images
            bought a score.
    """
    means = queries.scaling(wanted.connection, wanted.experiment)
    a, b = arms_of(wanted, means)
    rates = _rates(wanted, (a, b), shown(wanted, means["evaluator"]))
    axes = f"test {metric_names(metric for _, metric in rates.values())} (%)", f"{b} per {a} image"
    with mpl.rc_context(wanted.look.settings()):
        frame = Frame.of(wanted, list(rates), axes, {}, ticks="1000")
        for panel, (worths, _) in zip(frame.panels, rates.values(), strict=True):
            _plot(panel, worths, frame, styles_of(means)[a].colour)
    in_words = exchange(wanted.connection, wanted.experiment, rates, (a, b))
    parts = [*_caption(a, b, list(rates)), *in_words]
    return finished(wanted, frame.figure, parts, [a, b, *rates])


def _rates(
    wanted: Wanted, arms: tuple[str, str], evaluators: list[str]
) -> dict[str, tuple[list[Worth], str]]:
    """Return the ratios and the metric of each evaluator that has any."""
    rates = {}
    for evaluator in evaluators:
        answers = answers_of(wanted.connection, wanted.experiment, evaluator, arms)
        worths = exchange_rates(answers, *arms) if answers else []
        if answers and worths:
            rates[evaluator] = worths, answers.metric
    if not rates:
        raise RequestError(
            f"{wanted.experiment.title}: there is no score that more {arms[1]} images bought",
            "it takes two sizes of both arms with predictions, and scores that rise with n",
        )
    return rates


def _plot(axes: Axes, worths: list[Worth], frame: Frame, colour: str) -> None:
    look = frame.look
    score = np.array([100 * worth.score for worth in worths])
    ratio, low, high = (
        np.array([end.value for end in column]) for column in list(zip(*worths, strict=True))[1:]
    )
    bottom, top = min(1.0, *low) / 2, max(1.0, *high) * 2
    # An interval without an end is drawn to the edge.
    low = np.where([worth.low.sign == "<" for worth in worths], bottom, low)
    high = np.where([worth.high.sign == ">=" for worth in worths], top, high)
    exact = [not worth.ratio.sign for worth in worths]
    axes.fill_between(score, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.axhline(1, color=MUTED, linewidth=look.line / 2)
    axes.text(score[0], 1, "one for one", fontsize=look.small, color=MUTED, va="top")
    axes.plot(score, ratio, color=colour, linestyle=_DOTTED)
    axes.plot(score, np.where(exact, ratio, np.nan), color=colour)
    _point_to_bounds(axes, worths, colour, 2 * look.marker)
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    _label_ratios(axes, bottom, top)
    axes.margins(x=0.06)
    ticks = round_values(Limits(*axes.get_xlim()), frame.grid.axes_width, look)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    _mark_end(axes, worths[-1].score, worths[-1].ratio, look)


def _label_ratios(axes: Axes, bottom: float, top: float) -> None:
    powers = range(int(np.floor(np.log10(bottom))), int(np.ceil(np.log10(top))) + 1)
    steps = (1, 2, 5) if np.log10(top / bottom) < _FEW_DECADES else (1,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    ticks = [tick for tick in ticks if bottom <= tick <= top]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, [f"{tick:.12g}" for tick in ticks])


def _point_to_bounds(axes: Axes, worths: list[Worth], colour: str, length: float) -> None:
    """Point, at some of the bounds, to the side that the ratio is on."""
    bounds = [worth for worth in worths if worth.ratio.sign]
    for worth in bounds[:: max(1, len(worths) // 8)]:
        axes.annotate(
            "", (100 * worth.score, worth.ratio.value), textcoords="offset points",
            xytext=(0, -length if worth.ratio.sign == "<" else length),
            arrowprops={"arrowstyle": "<-", "color": colour, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def _mark_end(axes: Axes, score: float, ratio: Ratio, look: Look) -> None:
    """Write the ratio at the best score, in two digits or in whole numbers."""
    value = f"{ratio.value:,.0f}" if ratio.value >= 10 else f"{ratio.value:.2g}"
    axes.plot(100 * score, ratio.value, marker="o", color=INK)
    axes.annotate(
        f"{_SIGNS[ratio.sign]}{value}{_TIMES}", (100 * score, ratio.value), ha="right",
        xytext=(-look.marker, look.marker), textcoords="offset points", fontsize=look.small,
        fontweight="bold",
    )  # fmt: skip


def _caption(a: str, b: str, evaluators: list[str]) -> list[str]:
    return [
        f"how many {b} images do what one {a} image does, at each test score of "
        f"{listed(evaluators)}",
        f"it is the number of {b} images that reach the score, divided by that of {a} images; "
        f"above 1, {a} images are worth more. An arm's curve is the mean over seeds, its running "
        "maximum, linear in log n between sizes",
        "dotted, with arrows: a bound, as the score lies outside what the sizes tried tell of one "
        f"arm. The dot: the best score of {b} images",
        "band: 95 % interval of a bootstrap over test images and seeds, for the same number of "
        f"{b} images, not over what validation data chose; it goes to the edge where the sizes "
        "tried give it no end",
    ]
