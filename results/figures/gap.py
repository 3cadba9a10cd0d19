"""The difference between two arms over the number of images used, with its interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.core.errors import RequestError
from results import pairs
from results.database import queries
from results.drawing import axes as axis
from results.drawing.drawn import Drawn
from results.drawing.fonts import add_fonts
from results.drawing.grid import PLOT_SHARE, Grid
from results.drawing.look import GROUND, INK, MUTED, Look, Style, styles
from results.drawing.text import POINT, Names, fit_names, height, width
from results.drawing.wanted import Wanted
from results.fidelity import caution
from results.figures._scaling_caption import full_names, selected, whole
from results.labels import UNADAPTED, in_order
from results.wording import covered, listed, metric_names, sign_of

_BETTER = "\N{UPWARDS ARROW} {} better", "\N{DOWNWARDS ARROW} {} better"
_ZERO = 1e-7
"""What adding up in another order may make of no difference, in points."""

_TIE = Style(MUTED, "d")
_NUMBERS = ["difference", "ci_low", "ci_high", "seed_difference_min", "seed_difference_max"]


def draw(wanted: Wanted) -> Drawn:
    """Plot how much better an arm is than another, in points, at each n that both have.

    Raises:
        RequestError: If there are no two such arms, or they left no predictions on the same images.
    """
    means = queries.scaling(wanted.connection, wanted.experiment)
    arms = _arms(wanted, means)
    gaps = _gaps(wanted, *arms)
    sources = dict(zip(means["label"], means["source"], strict=True))
    known = styles([*sources.items()])
    names, figure = gap_figure(
        gaps, (known[arms[0]], known[arms[1]]), wanted.look, wide=wanted.wide
    )
    fidelity = queries.fidelity(wanted.connection, wanted.experiment)
    shown = means[means["label"].isin(arms) & means["evaluator"].isin(gaps["evaluator"])]
    parts = [
        *_caption(wanted, gaps, shown),
        *([f"names in full: {full_names(names.key)}"] if names.key else ()),
    ]
    known_caution = caution(fidelity, wanted.experiment.preset, wanted.experiment.task)
    return Drawn(figure, whole([*parts, known_caution], [*arms, *shown["evaluator"]]), wanted.look)


def gap_figure(
    gaps: pd.DataFrame, arms: tuple[Style, Style], look: Look, *, wide: bool
) -> tuple[Names, Figure]:
    """Plot differences.

    Args:
        gaps: Rows of `results.pairs.pair_table`, of two arms, by evaluator; differences are shares.
        arms: How the first arm's marks look, and the second's.
        look: What for.
        wide: Whether it may be as wide as a page.

    Returns:
        What the arms are called, and the figure.
    """
    with mpl.rc_context(look.settings()):
        plan = _Plan.of(gaps, arms, look, wide=wide)
        figure, panels = plan.grid.panels()
        for panel, contents in zip(panels, plan.panels, strict=True):
            _draw_panel(panel, contents, plan)
        add_fonts(figure)
    return plan.names, figure


@dataclass(frozen=True)
class _Contents:
    """What a panel shows, in points."""

    gaps: pd.DataFrame
    limits: axis.Limits
    values: list[float]

    @property
    def sizes(self) -> list[int]:
        """All n."""
        return sorted(set(self.gaps["n_used"]))


@dataclass(frozen=True)
class _Plan:
    """What all panels share."""

    look: Look
    grid: Grid
    names: Names
    styles: tuple[Style, Style]
    panels: list[_Contents]

    @classmethod
    def of(cls, gaps: pd.DataFrame, arms: tuple[Style, Style], look: Look, *, wide: bool) -> _Plan:
        plot = PLOT_SHARE * look.column
        room = height("", look.small) + (look.marker / 2 + 4) * POINT
        panels = []
        for _, rows in gaps.groupby("evaluator", sort=False):
            points = rows.assign(**{name: 100 * rows[name] for name in _NUMBERS})
            drawn = points[_NUMBERS].to_numpy(float).ravel()
            seen = [0.0, *map(float, drawn[~np.isnan(drawn)])]
            limits = axis.vertical(seen, plot, below=room, above=room)
            panels.append(_Contents(points, limits, axis.round_values(limits, plot, look)))
        ticks = max(width(axis.signed(v), look.small) for panel in panels for v in panel.values)
        largest = max(width(axis.short(n), look.small) for n in gaps["n_used"])
        grid = Grid(
            look, list(dict.fromkeys(gaps["evaluator"])),
            f"{metric_names(gaps['metric'])} gap (points)",
            "images used (log scale)", wide, plot, ticks, right=largest / 2 + 2 * POINT,
        )  # fmt: skip
        words = width(_BETTER[0].format(""), look.small) + 8 * POINT
        labels = ["unadapted" if arm == UNADAPTED else arm for arm in gaps.iloc[0][["a", "b"]]]
        names = fit_names(labels, look.small, grid.axes_width - words, lines=1)
        return cls(look, grid, names, arms, panels)


def _draw_panel(panel: Axes, contents: _Contents, plan: _Plan) -> None:
    look, grid, gaps = plan.look, plan.grid, contents.gaps.sort_values("n_used")
    sizes = axis.horizontal(contents.sizes, look, grid.axes_width, dodge=0.0, zero=False)
    texts = [axis.signed(value) for value in contents.values]
    axis.label_values(panel, contents.limits, contents.values, texts)
    axis.label_sizes(panel, sizes, contents.sizes, look, zero=False)
    panel.axhline(0, color=INK, lw=look.line * 0.8, zorder=1.5)
    x = gaps["n_used"]
    least, most = gaps["seed_difference_min"], gaps["seed_difference_max"]
    panel.fill_between(x, least, most, color=MUTED, alpha=0.16, lw=0)
    panel.plot(x, gaps["difference"], color=MUTED, lw=look.line * 0.8, zorder=1.6)
    for row in gaps.to_dict("records"):
        _mark(panel, row["n_used"], (row["difference"], row["ci_low"], row["ci_high"]), plan)
    left, edge = 3 * POINT / grid.axes_width, 2 * POINT / grid.plot
    for name, text, y, side in zip(
        plan.names.shown.values(), _BETTER, (1 - edge, edge), ("top", "bottom"), strict=True
    ):
        panel.text(
            left, y, text.format(name), fontsize=look.small, color=MUTED, va=side,
            transform=panel.transAxes,
        )  # fmt: skip


def _mark(panel: Axes, n: int, gap: tuple[float, float, float], plan: _Plan) -> None:
    """Draw a difference in the look of the better arm; hollow where the interval holds 0."""
    value, low, high = gap
    better = plan.styles[0 if value > 0 else 1]
    style, look = better if abs(value) > _ZERO else _TIE, plan.look
    sure = sign_of(low / 100, high / 100) != 0
    panel.errorbar(
        [n], [value], yerr=[[max(0.0, value - low)], [max(0.0, high - value)]], fmt="none",
        ecolor=style.colour, elinewidth=look.line * 0.6, capsize=look.marker * 0.4,
        capthick=look.line * 0.6,
    )  # fmt: skip
    panel.plot(
        [n], [value], marker=style.marker, color=style.colour, clip_on=False,
        markerfacecolor=style.colour if sure else GROUND,
        markeredgecolor=GROUND if sure else style.colour,
        markeredgewidth=0.5 if sure else look.line * 0.8,
    )  # fmt: skip


def _arms(wanted: Wanted, means: pd.DataFrame) -> tuple[str, str]:
    """Return the arms asked for, else the first retrieved and synthetic one, else the first two.

    Raises:
        RequestError: If there is but one.
    """
    if wanted.arms:
        a, b = wanted.arms
        return a, b
    adapted = means[means["label"] != UNADAPTED].drop_duplicates("label")
    firsts = adapted.drop_duplicates("source").set_index("source")["label"]
    labels = [str(firsts[name]) for name in ("retrieved", "synthetic") if name in firsts]
    labels += [label for label in adapted["label"] if label not in labels]
    if len(labels) < 2:
        raise RequestError(
            f"{wanted.experiment.title}: there are no two arms to compare",
            "run another source too, or compare with --arm none",
        )
    return labels[0], labels[1]


def _gaps(wanted: Wanted, a: str, b: str) -> pd.DataFrame:
    """Return the rows of two arms, the first minus the second, by the evaluators wanted.

    Raises:
        RequestError: If there are none.
    """
    table = pairs.pair_table(wanted.connection, wanted.experiment)
    same = table[(table["a"] == a) & (table["b"] == b)]
    other = table[(table["a"] == b) & (table["b"] == a)]
    turned = other.assign(
        a=a, b=b, difference=-other["difference"],
        ci_low=-other["ci_high"], ci_high=-other["ci_low"],
        seed_difference_min=-other["seed_difference_max"],
        seed_difference_max=-other["seed_difference_min"],
    )  # fmt: skip
    gaps = pd.concat([part for part in (same, turned) if len(part)] or [same])
    there = in_order(gaps["evaluator"])
    evaluators = [name for name in wanted.evaluators or there if name in there]
    if not evaluators:
        raise RequestError(
            f"{wanted.experiment.title}: {a} and {b} have no predictions on the same test images "
            "at one number of images",
            "run both at one --n",
        )
    order = pd.Categorical(gaps["evaluator"], evaluators)
    return gaps.assign(panel=order.codes)[order.codes >= 0].sort_values("panel", kind="stable")


def _caption(wanted: Wanted, gaps: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    a, b = ("unadapted" if arm == UNADAPTED else arm for arm in gaps.iloc[0][["a", "b"]])
    metrics = metric_names(gaps["metric"])
    yield (
        f"{a} minus {b}, in points of test {metrics}, over the number of images "
        f"used: {wanted.experiment.title}, by {listed(list(dict.fromkeys(gaps['evaluator'])))}"
    )
    over = sorted({covered(over_seeds=each) for each in gaps["over_seeds"]})
    yield f"bars are 95 % intervals over {listed(over, 'or')}, both arms on the same images"
    yield "marks are those of the better arm, hollow where the interval holds 0"
    if (gaps["difference"].abs() <= _ZERO / 100).any():
        yield "grey: the arms are equal"
    if gaps["seeds_a"].max() > 1 or gaps["seeds_b"].max() > 1:
        yield "the band reaches from the least to the greatest difference at one seed"
    yield selected(means)
