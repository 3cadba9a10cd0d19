"""What was kept and removed of each image set: what each step left, scores, and copies.

The pictures were made when the images were collected (`sources/screening/audit.py`) and lie in
the image set's folder. Where that folder is elsewhere, the report says nothing about the set.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
import polars as pl

from bench.core.errors import BenchError
from bench.core.files import read_parquet
from bench.core.json_values import value_at
from bench.core.paths import Home
from bench.core.progress import first_few
from bench.core.size import format_size
from bench.storage.image_set import ImageSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 80


def audits(home: Home, image_sets: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what the template shows of each image set that left an audit.

    Args:
        home: Where the image sets are.
        image_sets: Rows of `results.database.queries.image_sets`.
    """
    audited = _audited(home)
    shown = []
    for label, source, content in image_sets.itertuples(index=False):
        images = audited.get((source, content))
        if images is not None:
            head = {"label": label, "content": content, "rule": _rule(images)}
            counts = {"steps": _steps(images), "classes": _classes(images)}
            shown.append(head | counts | _filtering(images) | _copies(images))
    return shown


def without_images(empty: pd.DataFrame) -> list[str]:
    """Return a line per source and n whose training images left classes out.

    Args:
        empty: Rows of `results.database.queries.empty_classes`.
    """
    lines = []
    for label, n, names in empty.itertuples(index=False):
        classes = msgspec.json.decode(names)
        lines.append(f"{label}, n = {format_size(n)}: {len(classes)} ({first_few(classes)})")
    return lines


def histogram(scores: pl.DataFrame, tau: float | None, title: str) -> Figure:
    """Plot the scores of all matches: those that passed the filter and the others, and tau.

    Args:
        scores: Columns ``clip_score`` and ``passed``.
        tau: The threshold; None for a rule that has none.
        title: What the images are.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from results.figures.scaling import LOOK, STYLES

    passed, dropped = (
        scores.filter(pl.col("passed") == passes)["clip_score"].to_numpy()
        for passes in (True, False)
    )
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.hist(
            [passed, dropped],
            bins=_BINS,
            stacked=True,
            color=[STYLES["retrieved"].colour, "#BBBBBB"],
            label=[f"passed: {len(passed):,}", f"dropped: {len(dropped):,}"],
        )
        if tau is not None:
            axes.axvline(tau, color="#222222", linestyle=(0, (5, 3)), label=f"tau = {tau:g}")
        axes.set(xlabel="cosine with the filter's text", ylabel="matched images", title=title)
        axes.legend()
    return figure


def _audited(home: Home) -> dict[tuple[str, str], ImageSet]:
    """Return the image sets that left an audit, by source and content."""
    audited = {}
    for path in sorted(home.data.glob("images-*/pairs.parquet")):
        try:
            images = ImageSet.open(path.parent, home.data)
        except BenchError:
            continue  # The run that needs it will say so.
        audited[images.manifest.source, images.manifest.content] = images
    return audited


def _rule(images: ImageSet) -> str:
    """Return the filter's rule in words; nothing where there was none."""
    rule = value_at(images.manifest.options, "filter.rule")
    if rule in (None, "none"):
        return ""
    options = images.manifest.options["filter"]
    settings = [f"{key} {options[key]:g}" for key in ("tau", "fraction", "cap") if key in options]
    return ", ".join([f"filter {rule}", *settings])


def _steps(images: ImageSet) -> list[list[str]]:
    """Return the manifest's stage counts in their order, the kinds of failure included."""
    steps = []
    for step, value in images.manifest.stage_counts.items():
        if isinstance(value, int):
            steps.append([step, f"{value:,}"])
        elif step == "incomplete" and value:
            steps.append(["files of the pool that could not be scanned", f"{len(value):,}"])
        elif step == "failed":
            steps += [[f"failed: {kind}", f"{count:,}"] for kind, count in value.items()]
    return steps


def _classes(images: ImageSet) -> list[list[Any]]:
    """Return the header and then the rows of what each class was left with after each step."""
    rows: list[list[Any]] = []
    for name, counts in images.manifest.stage_counts.get("classes", {}).items():
        if not rows:
            rows.append(["class", *counts])
        rows.append([name, *map(_cell, counts.values())])
    return rows


def _cell(value: int | dict[str, int]) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(f"{count:,} {kind}" for kind, count in value.items())


def _filtering(images: ImageSet) -> dict[str, Any]:
    path = images.folder / "scores.parquet"
    if not path.is_file():
        return {"histogram": ""}
    scores = read_parquet(path, columns=["clip_score", "passed"])
    passed = int(scores["passed"].sum())
    figure = histogram(
        scores, value_at(images.manifest.options, "filter.tau"), "Similarity of every match"
    )
    return {
        "histogram": _svg(figure),
        "passed": f"{passed:,}",
        "dropped": f"{scores.height - passed:,}",
        "filtered": _embedded(images.folder / "filtered.png"),
    }


def _copies(images: ImageSet) -> dict[str, Any]:
    duplicates = dict(images.manifest.stage_counts["duplicates"])
    pairs = read_parquet(images.folder / "pairs.parquet").iter_rows(named=True)
    return {
        "descriptor": duplicates.pop("descriptor"),
        "duplicates": duplicates,
        "copies": _embedded(images.folder / "copies.png"),
        "pairs": [
            [place + 1, pair["key"], pair["distance"], _original(pair)]
            for place, pair in enumerate(pairs)
        ],
    }


def _original(pair: dict[str, Any]) -> str:
    if pair["kept"] is not None:
        return str(pair["kept"])
    framing = f" ({pair['framing']})" if pair["framing"] else ""
    return f"{pair['split']} image {pair['image']}{framing}"


def _svg(figure: Figure) -> str:
    from results.figures.scaling import save

    with tempfile.TemporaryDirectory() as folder:
        return _embedded(save(figure, Path(folder) / "histogram")[1])


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
