"""The scaling plot: accuracy against the number of images used, one line per label."""

import io
import math
import textwrap
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.core.files import write_atomic
from bench.core.size import format_size
from results.drawing.fonts import NOTE, add_fonts, numbered
from results.labels import UNADAPTED, in_order
from results.wording import listed


class Style(NamedTuple):
    """The look of a source's line."""

    colour: str
    marker: str


# Okabe and Ito's colours, told apart by the colour-blind; the markers serve black-and-white print.
STYLES = {
    "retrieved": Style("#0072B2", "o"),
    "synthetic": Style("#D55E00", "^"),
    "real": Style("#6B6B6B", "s"),
    "mixed": Style("#8A4FA3", "D"),
    "folder": Style("#009E73", "v"),
}
_GREY = "#EBEBEB"
_DOTTED = (0, (1.5, 1.5))
# Panels in a row.
_MAX_ACROSS = 3
# Columns of the legend, by panels in a row: its longest entry fills a single panel's width.
_LEGEND_COLUMNS = {1: 1, 2: 3, 3: 5}
# Characters of a label in a line of the legend, in the narrowest of its columns.
_LEGEND_CHARACTERS = 40
# Characters of tick labels from a panel's smallest size to its largest.
_TICK_CHARACTERS = 46
# Intervals at one n are this factor apart.
_INTERVAL_SHIFT = 1.04
_SPARE_STYLES = [Style("#B8860B", "P"), Style("#56B4E9", "X"), Style("#CC79A7", "*")]
# Matplotlib's type for this is the list of all its settings.
LOOK: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.08,
    # Names come from users: a dollar sign is a dollar sign.
    "text.parse_math": False,
    # The same records give the same file.
    "svg.hashsalt": "scaling",
}


def scaling_figure(means: pd.DataFrame, title: str, footer: str = "") -> Figure:
    """Plot one panel per evaluator, without those that judged the unadapted model alone.

    Args:
        means: Rows of `results.database.queries.scaling`, of one experiment and one metric.
        title: What the figure is about.
        footer: A caution printed below; none if empty.
    """
    adapted = means[means["source"] != UNADAPTED]
    evaluators = in_order((means if adapted.empty else adapted)["evaluator"])
    across = min(len(evaluators), _MAX_ACROSS)
    down = -(-len(evaluators) // across)
    handles, columns = _legend(means), _LEGEND_COLUMNS[across]
    names = " ".join([title, footer, *means["label"]])
    notes = [_selectors(means), numbered(footer), NOTE if numbered(names) != names else ""]
    wrapped = textwrap.fill("; ".join(filter(None, notes)), width=70 * across)
    lines = sum(1 + str(handle.get_label()).count("\n") for handle in handles)
    # Inches: a legend row, a footer row and what surrounds them.
    height = 0.2 * -(-lines // columns) + 0.14 * (wrapped.count("\n") + 1) + 0.25
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(4.6 * across + 0.4, 4 * down + height), layout="constrained")
        figure.suptitle(textwrap.fill(numbered(title), 46 * across), fontsize=12, fontweight="bold")
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(4 * down, height)).flat
        for place, evaluator in enumerate(evaluators):
            axes = above.add_subplot(down, across, place + 1)
            _plot_panel(axes, means[means["evaluator"] == evaluator])
            axes.set_title(evaluator)
            if place % across == 0:
                axes.set_ylabel(f"test {means['metric'].iloc[0]} (%)")
        below.legend(handles=handles, loc="upper center", ncols=columns)
        below.text(0.5, 0.02, wrapped, ha="center", va="bottom", fontsize=7.5, color="#555555")
        add_fonts(figure)
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG, and return the two paths."""
    paths = []
    for kind in ("png", "svg"):
        content = io.BytesIO()
        undated = {"Date": None} if kind == "svg" else {}
        with mpl.rc_context(LOOK):
            figure.savefig(content, format=kind, dpi=160, metadata=undated)
        paths.append(stem.with_name(f"{stem.name}.{kind}"))
        write_atomic(paths[-1], content.getvalue())
    return paths


def _plot_panel(axes: Axes, means: pd.DataFrame) -> None:
    adapted = means[means["source"] != UNADAPTED]
    for value in means.loc[means["source"] == UNADAPTED, "mean"]:
        axes.axhline(100 * value, color="#222222", linestyle=(0, (5, 3)), linewidth=1.2)
    styles = _styles(adapted)
    for place, (label, style) in enumerate(styles.items()):
        rows = adapted[adapted["label"] == label].sort_values("n_used")
        _plot_line(axes, rows, style, _INTERVAL_SHIFT ** (place - (len(styles) - 1) / 2))
    axes.set_xscale("log")
    axes.set_xlabel("images used (log scale)")
    sizes = sorted(set(adapted["n_used"]))
    _label_sizes(axes, sizes)
    if len(sizes) == 1:
        axes.set_xlim(sizes[0] / 2, sizes[0] * 2)
    if (exhausted := _exhausted_at(adapted)) is not None:
        right = adapted["n_used"].max() * 1.35
        axes.axvspan(exhausted, right, color=_GREY, linewidth=0, zorder=0)
        axes.set_xlim(right=right)


def _plot_line(axes: Axes, rows: pd.DataFrame, style: Style, shift: float) -> None:
    """Plot a label's means and seeds at their n, and its intervals a factor beside them."""
    used = rows["n_used"].to_numpy()
    columns = ["mean", "seed_min", "seed_max", "test_low", "test_high"]
    mean, seed_min, seed_max, test_low, test_high = 100 * rows[columns].to_numpy().T
    axes.fill_between(used, seed_min, seed_max, color=style.colour, alpha=0.2, linewidth=0)
    axes.errorbar(
        used * shift,
        mean,
        # A score of 100 % may be above its own limit, by rounding.
        yerr=np.maximum(0, [mean - test_low, test_high - mean]),
        fmt="none",
        ecolor=style.colour,
        elinewidth=0.7,
        capsize=2,
        capthick=0.7,
    )
    axes.hlines(mean, rows["n_used_min"], rows["n_used_max"], color=style.colour, linewidth=1.8)
    axes.plot(
        used,
        mean,
        color=style.colour,
        marker=style.marker,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linewidth=1.8,
    )
    if _hides_epochs(rows).any():
        trained = 100 * rows["trained_mean"]
        axes.plot(used, trained, color=style.colour, linestyle=_DOTTED, linewidth=1.2)


def _hides_epochs(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return which means are not those of the best trained epochs."""
    return (rows["trained_mean"] - rows["mean"]).abs() > 1e-9


def _selectors(means: pd.DataFrame) -> str:
    """Return who selected the models, in words; nothing where there are none."""
    by = sorted(set(means.loc[means["source"] != UNADAPTED, "select_by"]))
    return f"models selected by {listed(by)} on validation data" if by else ""


def _exhausted_at(adapted: pd.DataFrame) -> int | None:
    """Return how many retrieved images there are, if another source goes beyond; else None."""
    kept = adapted.loc[adapted["source"] == "retrieved", "n_kept"].max()
    return int(kept) if kept < adapted["n_used"].max() else None


def _label_sizes(axes: Axes, sizes: list[int]) -> None:
    """Put a tick at every size tried, leaving out labels that would overlap."""
    span = math.log(sizes[-1] / sizes[0]) if len(sizes) > 1 else 1.0
    shown: list[int] = []
    for size in reversed(sizes):
        # From centre to centre, with a gap of less than half a character.
        room = (len(format_size(size)) + len(format_size(shown[-1]))) / 2 + 0.4 if shown else 0.0
        if not shown or math.log(shown[-1] / size) / span >= room / _TICK_CHARACTERS:
            shown.append(size)
    axes.set_xticks(shown, [format_size(size) for size in shown])
    axes.set_xticks(sizes, minor=True)
    axes.tick_params(axis="x", which="minor", labelbottom=False)


def _legend(means: pd.DataFrame) -> list[Artist]:
    adapted = means[means["source"] != UNADAPTED]
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            color=style.colour,
            marker=style.marker,
            label=textwrap.fill(numbered(label), _LEGEND_CHARACTERS),
        )
        for label, style in _styles(adapted).items()
    ]
    if len(adapted) < len(means):
        handles.append(
            Line2D([], [], color="#222222", linestyle=(0, (5, 3)), lw=1.2, label="unadapted model")
        )
    if (exhausted := _exhausted_at(adapted)) is not None:
        label = f"no more retrieved images than {format_size(exhausted)}"
        handles.append(Patch(color=_GREY, linewidth=0, label=label))
    if _hides_epochs(adapted).any():
        label = "dotted: best trained epoch"
        handles.append(Line2D([], [], color="#777777", linestyle=_DOTTED, lw=1.2, label=label))
    if adapted["seeds"].max() > 1:
        label = f"band: lowest to highest of {_range(adapted['seeds'])} seeds"
        handles.append(Patch(color="#777777", alpha=0.3, linewidth=0, label=label))
    if (adapted["n_used_min"] < adapted["n_used_max"]).any():
        handles.append(
            Line2D([], [], color="#777777", lw=1.8, label="flat bar: images used, least to most")
        )
    if len(adapted):
        label = f"thin bar: 95 % interval over {_range(adapted['test_images'])} test images"
        handles.append(
            Line2D([], [], color="#777777", marker="|", lw=0, markersize=11, label=label)
        )
    return handles


def _range(counts: "pd.Series[int]") -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _styles(adapted: pd.DataFrame) -> dict[str, Style]:
    """Return each label's style: its source's for the first of a source, spare ones for others."""
    unused, spare = dict(STYLES), cycle(_SPARE_STYLES)
    pairs = sorted(set(zip(adapted["label"], adapted["source"], strict=True)))
    return {
        label: unused.pop(source) if source in unused else next(spare) for label, source in pairs
    }
