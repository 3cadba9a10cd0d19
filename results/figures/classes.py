"""What each class gained or lost against the unadapted model, both arms side by side."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bench.core.errors import RequestError
from bench.core.size import format_size
from results.conclusions.classes import class_names
from results.database import queries
from results.drawing.axes import Limits, round_values
from results.drawing.drawn import Drawn
from results.drawing.grid import Grid
from results.drawing.look import INK, MUTED, Style
from results.drawing.text import LEADING, POINT, Names, fit_names, fitted, height, width
from results.drawing.wanted import Wanted
from results.figures._frame import finished, first_labels, shown, styles_of
from results.labels import UNADAPTED
from results.wording import listed

_EXTREMES = 8
"""Classes at either end, where there are too many to show."""

_NAMES_SHARE = 0.35
"""Of a panel's width, what names of classes may take."""


class _Gains(NamedTuple):
    """Gains in points, ``[classes, arms]``, from the first arm's greatest to its least."""

    classes: list[int]
    arms: list[str]
    gain: NDArray[np.float64]
    error: NDArray[np.float64]
    images: list[int]


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
            _plot(axes, gains, classes, styles_of(means), grid)
            _write_key(axes, names, styles_of(means), grid)
    shown_names = [*sizes, *found, *classes.values()]
    return finished(wanted, figure, _caption(sizes, found), shown_names, names.key)


def _grid(wanted: Wanted, found: dict[str, _Gains], arms: Names) -> tuple[Grid, dict[int, str]]:
    """Return where panels are, and what each class is called there."""
    look = wanted.look
    titles, xlabel = list(found), "gain (points)"
    grid = Grid(look, titles, "", xlabel, wanted.wide, plot=0, ticks=0, right=0)
    room = _NAMES_SHARE * grid.width / grid.across
    known = class_names(queries.task_place(wanted.connection, wanted.experiment.task))
    labels = {label for gains in found.values() for label in gains.classes}
    names = {
        label: fitted(known.get(label, f"class {label}"), look.small, room, 2) for label in labels
    }
    of_name = max(height(name, look.small) for name in names.values()) + 2 * POINT
    rows = max(min(len(gains.classes), 2 * _EXTREMES + 1) for gains in found.values())
    row = max(of_name, 0.9 * len(arms.shown) * look.small * POINT)
    ticks = max(width(name, look.small) for name in names.values())
    key = arms.lines() * look.small * LEADING * POINT + 2 * POINT
    plot = rows * row
    return Grid(look, titles, "", xlabel, wanted.wide, plot, ticks, 8 * POINT, key), names


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
    gain = 100 * by_class.mean()
    order = gain.sort_values([arms[0]], ascending=False, kind="stable").index
    return _Gains(
        classes=[int(label) for label in order],
        arms=arms,
        gain=gain.loc[order].to_numpy(),
        error=(196 * by_class.sem()).loc[order].fillna(0).to_numpy(),
        images=[int(count) for count in by_class.size().loc[order]],
    )


def _plot(
    axes: Axes, gains: _Gains, names: dict[int, str], colours: dict[str, Style], grid: Grid
) -> None:
    look, classes = grid.look, gains.classes
    few = len(classes) <= 2 * _EXTREMES + 1
    kept = np.arange(len(classes)) if few else np.r_[:_EXTREMES, -_EXTREMES:0]
    # A row stays free for the classes between.
    rows = np.arange(len(kept)) + (0 if few else (np.arange(len(kept)) >= _EXTREMES))
    thick = 0.8 / len(gains.arms)
    for place, arm in enumerate(gains.arms):
        where = rows + thick * (place - (len(gains.arms) - 1) / 2)
        axes.barh(
            where, gains.gain[kept, place], thick, color=colours[arm].colour,
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
    ticks = round_values(Limits(*axes.get_xlim()), grid.axes_width, look)
    axes.set_xticks(ticks, [f"{tick:+g}" if tick else "0" for tick in ticks])


def _write_key(axes: Axes, names: Names, colours: dict[str, Style], grid: Grid) -> None:
    """Write the arms' names above a panel, in the order of their bars."""
    look, line = grid.look, LEADING * grid.look.small * POINT
    below = names.lines()
    for arm, text in names.shown.items():
        lines = text.count("\n") + 1
        y = 1 + (below - lines / 2) * line / grid.plot
        side = 0.7 * line
        axes.barh(
            y, side / grid.axes_width, side / grid.plot, color=colours[arm].colour,
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
    return [
        f"what {listed(list(found))} gained or lost on each class against the unadapted model, "
        f"with {models}",
        f"means over seeds of the accuracy on the class's test images, sorted by {first.arms[0]}; "
        "left of zero, adaptation did harm",
        "lines: 95 % intervals over the class's test images "
        f"({' to '.join(map(str, sorted(counts)))} a class), not corrected for looking at many "
        "of them",
    ]
