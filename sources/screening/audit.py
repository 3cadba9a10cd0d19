"""Audit filter and de-duplication: what they did, beside the image set, for the report to show.

Next to ``manifest.json``: ``scores.parquet`` (key, label, clip_score, passed) and ``filtered.png``;
``copies.parquet`` and ``copies.png``, whose columns are the rows of ``pairs.parquet``.
"""

import io
from collections.abc import Sequence

import polars as pl
from PIL import Image, ImageOps

from bench.core.files import write_atomic, write_parquet
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet, read_image

ACROSS = 8
"""Images in a row of a sheet."""

_TILE = 96
_GAP = 4


def write_filtering(images: ImageSet, scored: pl.DataFrame, passed: pl.Series) -> None:
    """Write every match's score, and a sheet of random images: those that passed above the rest.

    Args:
        images: The set that was made of them.
        scored: Rows of all images that were scored, with their place in the tars.
        passed: Which of them the filter kept.
    """
    if (images.folder / "filtered.png").is_file():
        return
    rows = scored.with_columns(passed=passed).sort("key")
    _write_table(rows.select("key", "label", "clip_score", "passed"), images, "scores")
    samples = [
        group.sample(min(ACROSS, group.height), seed=0, shuffle=True)
        for group in (rows.filter(pl.col("passed")), rows.filter(~pl.col("passed")))
    ]
    _write_sheet([_read(sample, images) for sample in samples], images, "filtered")


def write_copies(
    images: ImageSet, rows: pl.DataFrame, copies: pl.DataFrame, context: Context
) -> None:
    """Write every copy, and a sheet of the least similar pairs: copies above originals.

    Args:
        images: The set that copies were removed from.
        rows: Rows of all images, with their place in the tars.
        copies: What `sources.screening.dedup.drop_duplicates` found.
        context: What the source was given; shows the benchmark images.
    """
    if (images.folder / "pairs.parquet").is_file():
        return
    _write_table(copies, images, "copies")
    # The farthest of each reason: they show whether the threshold is too loose.
    pairs = (
        copies.filter(pl.col("reason") != "equal bytes")
        .sort("distance", "key", descending=[True, False])
        .group_by("reason", maintain_order=True)
        .head(ACROSS // 2)
    )
    shown = pl.concat([pairs["key"], pairs["kept"].drop_nulls()]).unique()
    places = rows.join(shown.to_frame(), on="key", how="semi")
    by_key = dict(zip(places["key"], _read(places, images), strict=True))
    shown_copies, originals = [], []
    for pair in pairs.iter_rows(named=True):
        shown_copies.append(by_key[pair["key"]])
        if pair["kept"] is not None:
            originals.append(by_key[pair["kept"]])
        else:
            split = context.task.split(pair["split"], context.home)
            originals.append(split.read(split.keys.index(pair["image"])))
    _write_sheet([shown_copies, originals], images, "copies")
    _write_table(pairs, images, "pairs")


def _read(rows: pl.DataFrame, images: ImageSet) -> list[Image.Image]:
    places = rows.select("shard", "offset", "size", "sha256").iter_rows()
    return [read_image(images.data, *place) for place in places]


def _write_table(rows: pl.DataFrame, images: ImageSet, name: str) -> None:
    write_parquet(images.folder / f"{name}.parquet", rows)


def _write_sheet(rows: Sequence[Sequence[Image.Image]], images: ImageSet, name: str) -> None:
    """Write rows of images, each in a square tile."""
    step = _TILE + _GAP
    sheet = Image.new("RGB", (ACROSS * step - _GAP, len(rows) * step - _GAP), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            shown = ImageOps.contain(image.convert("RGB"), (_TILE, _TILE), Image.Resampling.BOX)
            sheet.paste(shown, (x * step, y * step))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_atomic(images.folder / f"{name}.png", content.getvalue())
