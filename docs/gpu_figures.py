"""The tables of docs/gpu.md: the last report of `make gpu`, and what it says of our defaults."""

from typing import Any

from bench.core.duration import format_duration
from docs.costs import median
from tests.gpu.table import heading, number, rows

_UNET = "UNet alone, "

DEFAULTS = (
    ("`train.precision`", "fp32, as the paper's", "train", ("fp32", "tf32", "bf16")),
    ("`train.compile`", "off", "train_compiled", ("bf16", "bf16, compiled")),
    ("`train.workers`", "8 (preset `paper`)", "train", ("decoding workers alone", "loop, bf16")),
    (
        "`source.generation.dtype`, `.channels_last`",
        "fp16 (preset `paper`), on",
        "generate",
        tuple(
            f"{_UNET}{dtype}{layout}, batch 16"
            for dtype in ("fp16", "bf16")
            for layout in (", channels last", "")
        ),
    ),
    (
        "`source.generation.batch_size`",
        "16",
        "generate",
        tuple(f"{_UNET}5 steps, batch {batch}" for batch in (4, 16, 32)),
    ),
    (
        "`source.generation.compile`",
        "off",
        "generate_compiled",
        (f"{_UNET}not compiled, batch 16", f"{_UNET}compiled, batch 16"),
    ),
    (
        "embedding and features",
        "fp32 without TF32",
        "embed",
        ("bare fp32", "bare tf32", "bare bf16"),
    ),
)
"""A setting, its default with CUDA, and the part and figures that speak for or against it."""


def figures(report: dict[str, Any] | None) -> str:
    """Return the last report as tables of Markdown, or that there is none."""
    if report is None:
        return "**There is none yet.** Nobody has run this on a card."
    lines = [heading(report) + "."]
    for name, part in report["parts"].items():
        state = part["failure"] or ("passed" if part["passed"] else "not passed")
        lines += [
            "",
            f"`{name}`: {state}, {format_duration(part['seconds'])}",
            "",
            "| | | |",
            "|---|---|---|",
        ]
        lines += [f"| {' | '.join(row)} |" for row in rows(part)]
    return "\n".join(lines)


def defaults(report: dict[str, Any] | None) -> str:
    """Return our defaults with CUDA, each with its figures if the report has them."""
    lines = ["| setting | default with CUDA | measured |", "|---|---|---|"]
    for setting, default, part, names in DEFAULTS:
        found = [(name, median(report, part, name)) for name in names]
        said = "; ".join(
            f"{name.removeprefix(_UNET)}: {number(value)} images/s"
            for name, value in found
            if value
        )
        lines.append(f"| {setting} | {default} | {said or 'not measured on CUDA'} |")
    return "\n".join(lines)
