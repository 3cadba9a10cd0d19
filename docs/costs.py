"""What a GPU costs at full scale: by the last measured rates (docs/gpu.md), else by public ones."""

import json
from pathlib import Path
from typing import Any

from bench.core.duration import format_duration

REPORT = Path(__file__).with_name("gpu.json")
"""The last report of `make gpu` on a card; absent if there is none."""

EMBED = ("embed", "end to end, fp32")
GENERATE = ("generate", "stage, batch 16")
"""A part, and the figure of it that counts."""

PUBLIC_EMBED = 375.0
PUBLIC_SECONDS = {
    "diffusers, fp16, fused attention": 1.604,
    "and `channels_last` (our default with CUDA), `compile`": 1.058,
}
"""Images a second, and seconds an image; the pages below say whose."""

SHARE = 0.93
"""Of bare speed that the generate stage reached in the miniature world (docs/synthetic.md)."""

A100_HOUR = (1.49, 4.10)
"""Dollars; the page says whose."""

ADDRESSES = {"Aircraft": 710e3, "Cars": 440e3, "Flowers": 440e3, "10 M candidates": 10e6}
ALIVE = 0.6
"""Share of the addresses that still answer with an image; assumed."""

GENERATED = 2.5e6
SHARD = 1000

_PUBLIC_EMBEDDING = """\
A GPU embeds 375 images a second with ViT-B/16: a quarter, for four times the operations, of the
1,500 of ViT-B/32 on an RTX 3080 of clip-retrieval's README
[4](https://pypi.org/project/clip-retrieval/2.24.8). **We measured none of it.**"""

_PUBLIC_GENERATION = """\
**We measured none of it.** Seconds per image are public figures for one A100 80 GB and one image at
a time, divided by the share of bare speed that the stage reached in the miniature world
([0.93](synthetic.md#images)). Larger batches are faster."""

_PUBLIC_SOURCES = """\
- Seconds: [fal.ai's Stable Diffusion
  benchmarks](https://github.com/fal-ai/stable-diffusion-benchmarks), end to end, torch 2.1, rows
  "SDPA" and "SDPA, compiled, NCHW channels last".
- Dollars: 1.49 $ per A100 80 GB hour, the low end of list prices in early 2026
  ([pricegpu](https://pricegpu.pages.dev/blog/h100-vs-a100-cloud-price)), to 4.10 $ for an eighth of
  a p4d.24xlarge, whose GPUs have 40 GB
  ([xither](https://www.xither.com/compare/gpu-compute-costs-on-prem-vs-cloud-vs-spot-instances)).
  More GPUs change hours, not dollars."""


def read_report(path: Path = REPORT) -> dict[str, Any] | None:
    """Return the last report, or None if there is none.

    Raises:
        ValueError: If it is of no card, or of the smallest sizes: it measured nothing.
    """
    if not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if report["tiny"] or card(report) in ("", "cpu"):
        raise ValueError(f"{path} is of no card, or of the smallest sizes")
    return report


def card(report: dict[str, Any]) -> str:
    """Return the name of the card that a report is of; empty if no part came to name it."""
    found = (line["device"] for part in report["parts"].values() for line in part["results"][:1])
    return next(found, "")


def median(report: dict[str, Any] | None, part: str, name: str) -> float | None:
    """Return the median of a figure, or None if the report lacks it or its part did not pass."""
    told = report["parts"].get(part, {}) if report else {}
    results = told["results"] if told.get("passed") else []
    found = [line["median"] for line in results if line.get("name") == name and "median" in line]
    return float(found[0]) if found else None


def embedding(report: dict[str, Any] | None) -> str:
    """Return what embedding the candidates takes, and whose rate it is."""
    rate = median(report, *EMBED)
    whose = _PUBLIC_EMBEDDING
    if report and rate:
        whose = (
            f"One {card(report)} embeds {rate:,.0f} images of 256 pixels a second with ViT-B/16 "
            "([measured](gpu.md))."
        )
    seconds = [count * ALIVE / (rate or PUBLIC_EMBED) for count in ADDRESSES.values()]
    rows = {
        "embed, one GPU": [format_duration(one) for one in seconds],
        "embed, 64 GPUs": [format_duration(one / 64) for one in seconds],
        "GPU-hours": [f"{one / 3600:.2f}" for one in seconds],
    }
    table = [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    head = [f"| | {' | '.join(ADDRESSES)} |", "|---" * (len(ADDRESSES) + 1) + "|"]
    return "\n".join([whose, "", *head, *table])


def generation(report: dict[str, Any] | None) -> str:
    """Return what the largest generated set takes, and whose rates these are."""
    rate = median(report, *GENERATE)
    if report and rate:
        per_image = {f"the preset `paper`'s {GENERATE[1]} ([measured](gpu.md))": 1 / rate}
        lines = [f"One {card(report)}, the whole stage, random weights.", ""]
    else:
        per_image = {name: seconds / SHARE for name, seconds in PUBLIC_SECONDS.items()}
        lines = [_PUBLIC_GENERATION, ""]
    lines += ["| software | s per image | hours, 1 GPU | hours, 64 GPUs |", "|---|---|---|---|"]
    for name, seconds in per_image.items():
        hours = GENERATED * seconds / 3600
        lines.append(f"| {name} | {seconds:.3f} | {hours:,.0f} | {hours / 64:,.1f} |")
    if not rate:
        slow, fast = (
            " to ".join(f"{GENERATED * seconds / 3600 * price:,.0f}" for price in A100_HOUR)
            for seconds in per_image.values()
        )
        lines += ["", f"In dollars, {slow}, and {fast}.", "", _PUBLIC_SOURCES]
    lost = format_duration(SHARD * min(per_image.values()))
    lines += ["", f"A kill loses a shard: {SHARD:,} images, {lost} of such a GPU."]
    return "\n".join(lines)
