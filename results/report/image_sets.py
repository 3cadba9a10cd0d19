"""What was kept and removed of each image set: what each step left, scores, and copies.

The pictures were made when the images were collected (`sources/screening/audit.py`) and lie in
the image set's folder. Where that folder is elsewhere, the report says nothing about the set.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
import polars as pl

from bench.core.errors import BenchError
from bench.core.files import read_parquet
from bench.core.json_values import Json, value_at
from bench.core.paths import Home
from bench.core.progress import first_few
from bench.core.size import format_size
from bench.storage.image_set import ImageSet

if TYPE_CHECKING:
    from results.drawing.drawn import Drawn

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


def histogram(scores: pl.DataFrame, tau: float | None) -> Drawn:
    """Plot the scores of all matches: those that passed the filter and the others, and tau.

    Args:
        scores: Columns ``clip_score`` and ``passed``.
        tau: The threshold; None for a rule that has none.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from results.drawing.drawn import Drawn
    from results.drawing.look import INK, LOOKS, MUTED, STYLES

    passed, dropped = (
        scores.filter(pl.col("passed") == passes)["clip_score"].to_numpy()
        for passes in (True, False)
    )
    look = LOOKS["report"]
    with mpl.rc_context(look.settings()):
        figure = Figure(figsize=(look.column, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.hist(
            [passed, dropped],
            bins=_BINS,
            stacked=True,
            color=[STYLES["retrieved"].colour, MUTED],
            label=[f"passed: {len(passed):,}", f"dropped: {len(dropped):,}"],
        )
        if tau is not None:
            axes.axvline(tau, color=INK, linestyle=(0, (5, 3)), label=f"tau = {tau:g}")
        axes.set(xlabel="cosine with the filter's text", ylabel="matched images")
        axes.legend()
    caption = (
        f"Similarity of every match with its text. {len(passed):,} passed the filter, "
        f"{len(dropped):,} did not."
    )
    return Drawn(figure, caption, look)


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
    dropped = value_at(images.manifest.options, "filter.drop_train_copies") is True
    for step, value in images.manifest.stage_counts.items():
        if isinstance(value, int):
            steps.append([step, f"{value:,}"])
        elif step == "incomplete" and value:
            steps.append(["files of the pool that could not be scanned", f"{len(value):,}"])
        elif step == "failed":
            steps += [[f"failed: {kind}", f"{count:,}"] for kind, count in value.items()]
        elif step == "duplicates":
            steps += _copies_removed(value, dropped=dropped)
    return steps


def _copies_removed(duplicates: Json, *, dropped: bool) -> list[list[str]]:
    """Return how many copies of each kind were removed; those of train images may stay."""
    counts = {kind: count for kind, count in duplicates.items() if isinstance(count, int)}
    stay = set() if dropped else {"copies of train images"}
    return [
        [f"{'kept' if kind in stay else 'removed'}: {kind}", f"{count:,}"]
        for kind, count in counts.items()
    ]


def _classes(images: ImageSet) -> list[list[Any]]:
    """Return the header and then the rows of what each class was left with after each step."""
    steps = images.manifest.stage_counts
    counts = list(steps.get("classes", {}).items())
    if counts and "others" in steps:
        counts.append(("of no class", steps["others"]))
    # A class that nothing was asked for says nothing of the later steps.
    none = {step: type(value)() for _, of_class in counts for step, value in of_class.items()}
    rows = [[name, *map(_cell, (none | of_class).values())] for name, of_class in counts]
    return [["class", *none], *rows] if rows else []


def _cell(value: int | dict[str, int]) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(f"{count:,} {kind}" for kind, count in value.items())


def _filtering(images: ImageSet) -> dict[str, Any]:
    path = images.folder / "scores.parquet"
    if not path.is_file():
        return {"histogram": ""}
    from results.drawing.inline import inline_svg

    scores = read_parquet(path, columns=["clip_score", "passed"])
    passed = int(scores["passed"].sum())
    drawn = histogram(scores, value_at(images.manifest.options, "filter.tau"))
    return {
        "histogram": inline_svg(drawn),
        "histogram_caption": drawn.caption,
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


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
