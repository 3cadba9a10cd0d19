"""Scores over the time that devices took for them: making the images, training, evaluating."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import matplotlib as mpl
import msgspec
import pandas as pd
from matplotlib.axes import Axes

from bench.core.errors import RequestError
from bench.core.json_values import value_at
from results.database import queries
from results.drawing.axes import Limits
from results.drawing.drawn import Drawn
from results.drawing.look import GROUND, STYLES, Style
from results.drawing.text import LEADING, POINT, width
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
from results.wording import listed, metric_names

_RUN_STEPS = ("load", "adapt", "evaluate")
"""`adapt` holds the training and its validations."""

_LEAST_RANGE = 12
"""From the left to the right of an axis: it has a tick at a power of ten."""

_MOST_TICKS = 6
_GAP = 4 * POINT
"""Between two tick labels, at least."""

_UNADAPTED = "unadapted"
_DASHED = (0, (5, 3))


class _Unit(NamedTuple):
    name: str
    seconds: float


def draw(wanted: Wanted) -> Drawn:
    """Draw a panel per evaluator; with a price, dollars stand above.

    Raises:
        RequestError: If no run says how long it took.
    """
    means = queries.scaling(wanted.connection, wanted.experiment)
    costs = _costs(wanted)
    evaluators = shown(wanted, costs["evaluator"])
    unit = _unit(costs["seconds"].max())
    marks = styles_of(costs)
    if UNADAPTED in set(means["label"]):
        marks |= {_UNADAPTED: STYLES["none"]}
    look, axes = (
        wanted.look,
        (f"device-{unit.name} (log scale)", f"test {metric_names(means['metric'])} (%)"),
    )
    with mpl.rc_context(look.settings()):
        above = 1.5 * look.small * LEADING * POINT if wanted.price else 0.0
        frame = Frame.of(wanted, evaluators, axes, marks, above=above)
        for panel, evaluator in zip(frame.panels, evaluators, strict=True):
            at_none = means[(means["label"] == UNADAPTED) & (means["evaluator"] == evaluator)]
            _show_time(panel, costs, unit, wanted.price, frame)
            _plot(panel, costs[costs["evaluator"] == evaluator], at_none["mean"], unit, frame)
    names = [*costs["label"], *evaluators]
    caption = [*_caption(costs, wanted), selected(means[means["label"].isin(costs["label"])])]
    return finished(wanted, frame.figure, caption, names, frame.names.key)


def _costs(wanted: Wanted) -> pd.DataFrame:
    """Return the points: score and seconds, with and without making images (``training``)."""
    runs = queries.selected_runs(wanted.connection, wanted.experiment)
    making = queries.source_seconds(wanted.connection)
    runs = runs[runs["label"] != UNADAPTED]
    rows = [row for row in map(_cost(making), runs.to_dict("records")) if row["training"] > 0]
    if not rows:
        raise RequestError(
            f"{wanted.experiment.title}: no run with images says how long it took",
            "run one; records of earlier versions do not say it",
        )
    by_point = pd.DataFrame(rows).groupby(["label", "source", "evaluator", "n_point"])
    return by_point.agg(
        mean=("test", "mean"),
        test_low=("ci_low", "mean"),
        test_high=("ci_high", "mean"),
        training=("training", "mean"),
        seconds=("seconds", "mean"),
        seeds=("run_id", "nunique"),
        test_images=("test_images", "max"),
        device=("device", "first"),
        devices=("devices", "max"),
        of_others=("of_others", "max"),
    ).reset_index()


def _cost(making: dict[str, float]) -> Any:  # noqa: ANN401 (a function of a run's row)
    def cost(run: dict[str, Any]) -> dict[str, Any]:
        timings, train, options = (
            msgspec.json.decode(run[name]) for name in ("timings", "train", "options")
        )
        devices = train["nodes"] * train["gpus_per_node"]
        training = devices * sum(timings.get(step, 0.0) for step in _RUN_STEPS)
        # Images are generated one by one, so n of them cost their share; every match is fetched.
        generated = value_at(options, "generation") is not None
        share = run["n_used"] / run["n_kept"] if generated and run["n_kept"] else 1.0
        of_others = "parts" in options or "of" in options
        images = 0.0 if of_others else share * making.get(run["image_set"], 0.0)
        spent = {"training": training, "seconds": training + images}
        return {**run, **spent, "devices": devices, "of_others": of_others}

    return cost


def _unit(seconds: float) -> _Unit:
    """Return hours, or minutes where there are less than two of them."""
    return _Unit("hours", 3600) if seconds >= 7200 else _Unit("minutes", 60)


def _show_time(
    axes: Axes, costs: pd.DataFrame, unit: _Unit, price: float | None, frame: Frame
) -> None:
    """Give a panel a horizontal axis of time and, with a price, one of dollars above."""
    spent = costs[["training", "seconds"]].to_numpy() / unit.seconds
    around = max(1.4, (_LEAST_RANGE * spent.min() / spent.max()) ** 0.5)
    low, high = spent.min() / around, spent.max() * around
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _label(axes, Limits(low, high), "{:,.12g}", frame)
    if price:
        above = axes.twiny()
        above.set_xscale("log")
        each = price * unit.seconds / 3600
        above.set_xlim(low * each, high * each)
        _label(above, Limits(low * each, high * each), "${:,.12g}", frame)
        above.grid(visible=False)
        above.tick_params(length=0)


def _label(axes: Axes, limits: Limits, text: str, frame: Frame) -> None:
    """Put ticks at powers of ten, of which there is one at least, as many as have room."""
    low, high = map(math.log10, limits)
    ticks = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    decade = frame.grid.axes_width / (high - low)
    widest = max(width(text.format(tick), frame.look.small) for tick in ticks)
    every = max(1 + len(ticks) // _MOST_TICKS, math.ceil((widest + _GAP) / decade))
    axes.set_xticks(ticks[::every], [text.format(tick) for tick in ticks[::every]])
    axes.set_xticks([], minor=True)


def _plot(
    axes: Axes, costs: pd.DataFrame, unadapted: pd.Series[float], unit: _Unit, frame: Frame
) -> None:
    right = axes.get_xlim()[1]
    seen = [*costs["test_low"], *costs["test_high"], *unadapted]
    frame.show_scores(axes, [100 * score for score in seen])
    lines = []
    for value in unadapted:
        axes.axhline(100 * value, color=STYLES["none"].colour, linestyle=_DASHED)
        lines.append(Line(_UNADAPTED, right, 100 * value))
    for label, style in styles_of(costs).items():
        rows = costs[costs["label"] == label].sort_values("n_point")
        _plot_arm(axes, rows, style, unit, frame)
        last = rows.iloc[-1]
        lines.append(Line(label, last["seconds"] / unit.seconds, 100 * last["mean"]))
    frame.name_lines(axes, lines)


def _plot_arm(axes: Axes, rows: pd.DataFrame, style: Style, unit: _Unit, frame: Frame) -> None:
    look, (mean, around) = frame.look, percents(rows)
    spent, training = (rows[name] / unit.seconds for name in ("seconds", "training"))
    axes.hlines(mean, training, spent, color=style.colour, linewidth=look.line / 2, alpha=0.6)
    axes.plot(
        training, mean, style.marker, color=style.colour, markerfacecolor=GROUND,
        markersize=0.7 * look.marker, markeredgewidth=look.line / 2,
    )  # fmt: skip
    axes.errorbar(
        spent, mean, yerr=around, marker=style.marker, color=style.colour,
        elinewidth=look.line / 2, markeredgecolor=GROUND, markeredgewidth=look.line / 3,
    )  # fmt: skip


def _caption(costs: pd.DataFrame, wanted: Wanted) -> list[str]:
    others = sorted(set(costs.loc[costs["of_others"], "label"]))
    # Records of runs elsewhere may not say on what they ran.
    devices = sorted(set(costs["device"].dropna()) - {""})
    return [
        "test scores over the time that devices took for them",
        "filled marks: making the images, loading, training with its validations, and evaluating, "
        "times the number of devices, as the runs' records say. Hollow marks: without making the "
        "images",
        "making them is the source's step of the run that made the set, on one device: all of it "
        "for retrieved images, as every match is fetched whatever n; for generated ones the share "
        "that was used. What another command made before, as `bench build` does, is not in it",
        *(
            [f"for {listed(others)}, the images are made of other arms' and not counted"]
            if others
            else []
        ),
        f"bars: 95 % intervals over {over_what(costs)}",
        *([f"measured on {listed(devices)}"] if devices else []),
        *([f"dollars: at {_dollars(wanted.price)} per hour of a device"] if wanted.price else []),
    ]


def _dollars(price: float) -> str:
    """Return a price with its cents, where it has no parts of them."""
    whole = f"{price:,.2f}".removesuffix(".00")
    return f"${whole}" if float(whole.replace(",", "")) == price else f"${price:g}"
