"""What each class gained or lost against the unadapted model, both arms side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bench.core.errors import RequestError
from bench.core.size import format_size
from results.conclusions.classes import class_names
from results.database import queries
from results.drawing.axes import Limits, round_values, signed
from results.drawing.drawn import Drawn
from results.drawing.grid import Grid
from results.drawing.look import GROUND, INK, MUTED, Style
from results.drawing.text import LEADING, POINT, Names, fit_names, height, width
from results.drawing.wanted import Wanted
from results.figures._frame import finished, first_labels, shown, styles_of
from results.figures._scaling_caption import selected
from results.labels import UNADAPTED
from results.statistics.paired import compare
from results.wording import listed

_EXTREMES = 8
"""Classes at either end, where there are too many to show."""

_FEWEST_IMAGES = 2
"""A class of fewer has no interval."""

_HATCHES = ("", "/////", ".....", "xxxxx")

_NAMES_SHARE = 0.35
"""Of a panel's width, what names of classes may take."""


class _Gains(NamedTuple):
    """Gains in points, ``[classes, arms]``, from the first arm's greatest to its least."""

    classes: list[int]
    arms: list[str]
    gain: NDArray[np.float64]
    error: NDArray[np.float64]
    images: list[int]

    @property
    def kept(self) -> NDArray[np.int64]:
        """Places of the classes that are shown."""
        few = len(self.classes) <= 2 * _EXTREMES + 1
        every = np.arange(len(self.classes))
        return every if few else every[np.r_[:_EXTREMES, -_EXTREMES:0]]


def draw(wanted: Wanted) -> Drawn:
    """Draw a panel per evaluator.

    Raises:
        RequestError: If no arm and the unadapted model left predictions of images with one class.
    """
    means = queries.scaling(wanted.connection, wanted.experiment)
    sizes = _sizes(means, wanted.arms)
    found = {
        evaluator: gains
        for evaluator in shown(wanted, means["evaluator"])
        if (gains := _gains(wanted, evaluator, sizes)) is not None
    }
    if not found:
        raise RequestError(
            f"{wanted.experiment.title}: there are no gains by class",
            "they need predictions of the unadapted model (--source none) and of an arm, on images "
            "of one class each",
        )
    look, names = wanted.look, fit_names(list(sizes), wanted.look.small, wanted.look.column * 0.8)
    with mpl.rc_context(look.settings()):
        grid, classes = _grid(wanted, found, names)
        figure, panels = grid.panels()
        for axes, gains in zip(panels, found.values(), strict=True):
            _plot(axes, gains, classes.shown, styles_of(means), grid)
            _write_key(axes, names, styles_of(means), grid)
    caption = [*_caption(sizes, found), selected(means[means["label"].isin(sizes)])]
    key = names.key | classes.key
    return finished(wanted, figure, caption, [*sizes, *found, *classes.full.values()], key)


class _ClassNames(NamedTuple):
    """What classes are called, in full and as shown; and what shortened names stand for."""

    full: dict[int, str]
    shown: dict[int, str]
    key: dict[str, str]


def _grid(wanted: Wanted, found: dict[str, _Gains], arms: Names) -> tuple[Grid, _ClassNames]:
    """Return where panels are, and what each class is called there."""
    look = wanted.look
    titles, xlabel = list(found), "gain (points)"
    grid = Grid(look, titles, "", xlabel, wanted.wide, plot=0, ticks=0, right=0)
    room = _NAMES_SHARE * grid.width / grid.across
    known = class_names(queries.task_place(wanted.connection, wanted.experiment.task))
    labels = dict.fromkeys(gains.classes[at] for gains in found.values() for at in gains.kept)
    full = {label: known.get(label, f"class {label}") for label in labels}
    fit = fit_names(list(full.values()), look.small, room, after=len(arms.key))
    names = _ClassNames(full, {label: fit.shown[name] for label, name in full.items()}, fit.key)
    of_name = max(height(name, look.small) for name in fit.shown.values()) + 2 * POINT
    rows = max(min(len(gains.classes), 2 * _EXTREMES + 1) for gains in found.values())
    row = max(of_name, 0.9 * len(arms.shown) * look.small * POINT)
    ticks = fit.width(look.small)
    key = arms.lines() * look.small * LEADING * POINT + 2 * POINT
    plot = rows * row
    # The last label of the horizontal axis reaches beyond it by a half.
    right = max(8 * POINT, width(signed(-100), look.small) / 2 + 2 * POINT)
    return Grid(look, titles, "", xlabel, wanted.wide, plot, ticks, right, key), names


def _sizes(means: pd.DataFrame, arms: tuple[str, ...]) -> dict[str, int]:
    """Return the arms to show, one retrieved and one synthetic by default, at its largest n."""
    adapted = means[means["label"] != UNADAPTED]
    largest = adapted.groupby("label")["n_used"].max().to_dict()
    first = first_labels(adapted)
    wanted = arms or [first[source] for source in ("retrieved", "synthetic") if source in first]
    return {str(label): int(largest[label]) for label in wanted or largest if label in largest}


def _gains(wanted: Wanted, evaluator: str, sizes: dict[str, int]) -> _Gains | None:
    """Return the gains of the arms, with the half widths of their 95 % intervals."""
    answers, _ = queries.answers(
        wanted.connection, wanted.experiment, evaluator, [*sizes, UNADAPTED]
    )
    if answers.empty:
        return None
    arm, n = (answers.columns.get_level_values(level) for level in ("arm", "n_used"))
    arms = [each for each in sizes if ((arm == each) & (n == sizes[each])).any()]
    answers = answers[answers.index.get_level_values("class") >= 0]
    if not arms or UNADAPTED not in set(arm) or answers.empty:
        return None
    before = answers.loc[:, arm == UNADAPTED].mean(axis=1)
    change = pd.DataFrame(
        {each: answers.loc[:, (arm == each) & (n == sizes[each])].mean(axis=1) for each in arms}
    ).sub(before, axis=0)
    by_class = change.groupby(level="class")
    gain = 100 * by_class.mean().round(12)
    order = gain.sort_values([arms[0]], ascending=False, kind="stable").index
    return _Gains(
        classes=[int(label) for label in order],
        arms=arms,
        gain=gain.loc[order].to_numpy(),
        error=100 * by_class.agg(_margin).loc[order].to_numpy(np.float64),
        images=[int(count) for count in by_class.size().loc[order]],
    )


def _margin(change: pd.Series[float]) -> float:
    """Return half of a class's 95 % interval over its test images, as of any difference of arms.

    It does not collapse where all of them changed alike; of one image there is none: NaN.
    """
    changes = np.asarray(change.dropna(), np.float64)[:, None]
    if len(changes) < _FEWEST_IMAGES:
        return float("nan")
    one_class = np.zeros(len(changes), np.int64)
    unchanged = np.zeros((len(changes), 1), np.float64)
    estimate = compare(changes, unchanged, one_class, "accuracy", seeded=(False, False))
    return estimate.high - estimate.value


def _plot(
    axes: Axes, gains: _Gains, names: dict[int, str], colours: dict[str, Style], grid: Grid
) -> None:
    look, classes, kept = grid.look, gains.classes, gains.kept
    few = len(classes) == len(kept)
    # A row stays free for the classes between.
    rows = np.arange(len(kept)) + (0 if few else (np.arange(len(kept)) >= _EXTREMES))
    thick = 0.8 / len(gains.arms)
    for place, arm in enumerate(gains.arms):
        where = rows + thick * (place - (len(gains.arms) - 1) / 2)
        axes.barh(
            where, gains.gain[kept, place], thick, **_fill(colours[arm], place),
            xerr=gains.error[kept, place],
            error_kw={"elinewidth": look.line / 2, "ecolor": INK},
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=look.line / 2)
    axes.set_yticks(rows, [names[classes[each]] for each in kept])
    if not few:
        text = f"… {len(classes) - len(kept)} classes between …"
        axes.text(
            0.5, _EXTREMES, text, ha="center", va="center", fontsize=look.small, color=MUTED,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    axes.set_ylim(max(rows) + 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    limits = _limits(gains)
    axes.set_xlim(*limits)
    ticks = round_values(limits, grid.axes_width, look)
    axes.set_xticks(ticks, [signed(tick) for tick in ticks])


def _limits(gains: _Gains) -> Limits:
    """Return the ends of a horizontal axis: a point on either side at least."""
    gain, error = gains.gain[gains.kept], np.nan_to_num(gains.error[gains.kept])
    low, high = min(-1.0, float((gain - error).min())), max(1.0, float((gain + error).max()))
    pad = 0.04 * (high - low)
    return Limits(low - pad, high + pad)


def _fill(style: Style, place: int) -> dict[str, Any]:
    """Return how an arm's bars are filled: in print without colours, by their stripes."""
    hatch = _HATCHES[place % len(_HATCHES)]
    return {"facecolor": style.colour, "edgecolor": GROUND, "linewidth": 0, "hatch": hatch}


def _write_key(axes: Axes, names: Names, colours: dict[str, Style], grid: Grid) -> None:
    """Write the arms' names above a panel, in the order of their bars."""
    look, line = grid.look, LEADING * grid.look.small * POINT
    below = names.lines()
    for place, (arm, text) in enumerate(names.shown.items()):
        lines = text.count("\n") + 1
        y = 1 + (below - lines / 2) * line / grid.plot
        side = 0.7 * line
        axes.barh(
            y, side / grid.axes_width, side / grid.plot, **_fill(colours[arm], place),
            transform=axes.transAxes, clip_on=False,
        )  # fmt: skip
        axes.text(
            1.4 * side / grid.axes_width, y, text, transform=axes.transAxes, va="center",
            fontsize=look.small, linespacing=LEADING * 0.94,
        )  # fmt: skip
        below -= lines


def _caption(sizes: dict[str, int], found: dict[str, _Gains]) -> list[str]:
    first = next(iter(found.values()))
    models = listed([f"{arm} images at n = {format_size(sizes[arm])}" for arm in first.arms])
    counts = {min(first.images), max(first.images)}
    alone = any(count < _FEWEST_IMAGES for gains in found.values() for count in gains.images)
    return [
        f"what {listed(list(found))} gained or lost on each class against the unadapted model, "
        f"with {models}",
        f"means over seeds of the accuracy on the class's test images, sorted by {first.arms[0]}; "
        "left of zero, adaptation did harm",
        "lines: 95 % intervals over the class's test images "
        f"({' to '.join(map(str, sorted(counts)))} a class), not corrected for looking at many "
        "of them; no line where no image's answer changed"
        + (f", nor for a class of fewer than {_FEWEST_IMAGES} images" if alone else ""),
    ]
