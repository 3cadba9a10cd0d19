"""Plots of the figures behind the gates, in the style of the reports."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.core.files import write_atomic
from bench.miniworld.render import CLASSES
from bench.miniworld_checks.gates import Measurements
from results.drawing.look import LOOKS

# Okabe and Ito's, as in the scaling plots; the dashes serve black-and-white print.
COLOURS = {"aircraft": "#0072B2", "cars": "#D55E00", "flowers": "#009E73"}
DASHES = {"aircraft": "-", "cars": (0, (5, 2)), "flowers": (0, (1, 1.2))}


class Panel(NamedTuple):
    """One learning curve."""

    model: str
    title: str
    keys: tuple[str, ...]
    unit: str
    batch: str
    """The recipe's images per step; of the UNet, of each process."""
    shared: bool = False
    """Whether the recipe's processes share the work."""


PANELS = (
    Panel("clip-training", "CLIP", ("validation_loss",), "validation loss", "clip_batch"),
    Panel(
        "conditioner-training",
        "generator's CLIP",
        ("validation_loss",),
        "validation loss",
        "clip_batch",
    ),
    Panel("vae-training", "autoencoder", ("psnr_db",), "validation PSNR (dB)", "vae_batch"),
    Panel(
        "decoder-training", "decoder", ("fine_detail",), "fine detail over real", "decoder_batch"
    ),
    Panel(
        "oracle-training",
        "oracle",
        ("validation_accuracy",),
        "validation accuracy (%)",
        "oracle_batch",
    ),
    Panel(
        "unet-training",
        "generator",
        tuple(CLASSES),
        "read right by the oracle (%)",
        "unet_batch",
        shared=True,
    ),
)


def write_plots(figures: Measurements, folder: Path) -> list[Path]:
    """Plot everything into a folder; return the files.

    Args:
        figures: As `bench.miniworld_checks.measure.measure` returns them.
        folder: Where `learning-curve.png`, `tau.png` and `confusion.png` go.
    """
    with mpl.rc_context(LOOKS["report"].settings()):
        plots = {
            "learning-curve": learning_curves(figures["world"]),
            "tau": tau_curves(figures["domains"]),
            "confusion": confusions(figures["domains"]),
        }
        return [save_png(figure, folder / f"{name}.png") for name, figure in plots.items()]


def learning_curves(world: Measurements) -> Figure:
    """Plot what each model could do after how many images; a model without a curve is left out."""
    present = {line["model"] for line in world["curve"]}
    panels = [panel for panel in PANELS if panel.model in present]
    figure = Figure(figsize=(2.9 * max(len(panels), 1), 2.7), layout="constrained")
    figure.suptitle("Learning curves", fontsize=12, fontweight="bold")
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        lines = sorted(
            (line for line in world["curve"] if line["model"] == panel.model),
            key=lambda line: int(line["step"]),
        )
        batch, processes = world["recipe"][panel.batch], world["recipe"].get("processes", 2)
        _plot_curve(axes, panel, lines, batch * (processes if panel.shared else 1) / 1e3)
    return figure


def tau_curves(domains: Measurements) -> Figure:
    """Plot retrieval's precision over its recall per domain, every point being a threshold."""
    figure = Figure(figsize=(3.5 * len(domains), 3.6), layout="constrained")
    figure.suptitle("Retrieval at every threshold τ", fontsize=12, fontweight="bold")
    panels = figure.subplots(1, len(domains), sharey=True, squeeze=False)[0]
    for axes, (name, one) in zip(panels, domains.items(), strict=True):
        rows, colour = one["pool"]["curve"], COLOURS[name]
        for column, dashes, label in (
            ("class_precision", "-", "right class"),
            ("domain_precision", DASHES["flowers"], "right domain"),
        ):
            points = _percent(rows, "recall"), _percent(rows, column)
            axes.plot(*points, color=colour, linestyle=dashes, lw=1.6, label=label)
        _mark(axes, rows, one["pool"]["tau"], "o", "preset's")
        _mark(axes, rows, one["pool"]["knee"], "D", "knee,")
        axes.set_title(name)
        axes.set_xlabel("recall (%)")
        # Below the panel: inside, some curve would run through it.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=7.5)
    panels[0].set_ylabel("precision (%)")
    return figure


def confusions(domains: Measurements) -> Figure:
    """Plot, per domain, the share of generated images of each asked class by read class."""
    figure = Figure(figsize=(4.3 * len(domains), 4.4), layout="constrained")
    figure.suptitle(
        "Generated images: class asked for and class read (%)", fontsize=12, fontweight="bold"
    )
    panels = figure.subplots(1, len(domains), squeeze=False)[0]
    for axes, (name, one) in zip(panels, domains.items(), strict=True):
        _plot_matrix(axes, one["fidelity"]["generated"]["confusion"], CLASSES[name])
        axes.set_title(name)
        axes.set_xlabel("read")
    panels[0].set_ylabel("asked for")
    return figure


def _plot_curve(axes: Axes, panel: Panel, lines: list[dict[str, Any]], thousands: float) -> None:
    """Plot a panel's figures; shares are written as per cent."""
    scale = 100 if "%" in panel.unit else 1
    for key in panel.keys:
        points = [line for line in lines if key in line]
        seen = [thousands * line["step"] for line in points]
        colour, dashes = COLOURS.get(key, "#333333"), DASHES.get(key, "-")
        values = [scale * line[key] for line in points]
        axes.plot(seen, values, color=colour, linestyle=dashes, lw=1.6, label=key)
    if len(panel.keys) > 1:
        axes.legend(fontsize=7.5)
    axes.set_title(panel.title)
    axes.set_xlabel("images seen (thousands)")
    axes.set_ylabel(panel.unit)


def _plot_matrix(axes: Axes, counts: list[list[int]], names: Iterable[str]) -> None:
    """Plot a matrix of counts as the per cent of each row."""
    shares = [[100 * count / max(sum(row), 1) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7}
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            if round(value):
                colour = "white" if value > 55 else "#222222"
                axes.text(column, row, f"{value:.0f}", color=colour, **middle)
    ticks = range(len(shares))
    axes.set_xticks(ticks, list(names), rotation=40, ha="right", fontsize=7.5)
    axes.set_yticks(ticks, list(names), fontsize=7.5)
    axes.grid(visible=False)


def _mark(axes: Axes, rows: list[dict[str, float]], tau: float, marker: str, what: str) -> None:
    """Mark the point of the threshold that is nearest to a tau."""
    row = min(rows, key=lambda one: abs(one["tau"] - tau))
    axes.plot(
        100 * row["recall"],
        100 * row["class_precision"],
        linestyle="none",
        color="#222222",
        marker=marker,
        markersize=6,
        label=f"{what} τ = {tau:.2f}",
    )


def _percent(rows: list[dict[str, float]], column: str) -> list[float]:
    return [100 * row[column] for row in rows]


def save_png(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; return its path."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=160)
    write_atomic(path, content.getvalue())
    return path
