"""The captions of a synthetic image set, as they lie on disk once they are written."""

from collections.abc import Sequence

import polars as pl

from bench.core.files import read_parquet
from bench.core.json_values import Json
from bench.storage.stage import Stage

SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "label": pl.Int64(),
        "class_name": pl.String(),
        "kind": pl.String(),
        "caption": pl.String(),
        "relation": pl.String(),
        "background": pl.String(),
        "examples": pl.List(pl.String()),
        "pair": pl.String(),
        "writer": pl.String(),
        "seed": pl.Int64(),
        "attempt": pl.Int64(),
        "refused": pl.List(pl.String()),
        "fault": pl.String(),
    }
)
"""One row per item: its last attempt's number from 0, why earlier attempts were refused
(``refused``), and what is wrong with the last one (``fault``; null for nothing)."""

COPY = "copy"
"""The fault of a caption that an earlier item has, word by word."""


def caption_rows(stage: Stage) -> pl.DataFrame:
    """Return the rows of finished captions, in the order of their keys."""
    return read_parquet(stage.shard(0) / "captions.parquet")


def caption_texts(stage: Stage) -> pl.Series:
    """Return the texts of finished captions, and read nothing else: a million are soon read."""
    path = stage.shard(0) / "captions.parquet"
    return read_parquet(path, columns=["caption"]).to_series()


def caption_counts(stages: Sequence[Stage]) -> Json:
    """Return what became of the captions of some blocks, kind by kind.

    Returns:
        Kind to ``asked``, ``refused`` (reason to number of attempts that were refused and followed
        by another), ``given up`` (reason to number of items whose last attempt was refused too;
        they are left out) and ``copies kept``.
    """
    kept = pl.concat(caption_rows(stage) for stage in stages)
    lost = pl.concat(read_parquet(stage.shard(0) / "given-up.parquet") for stage in stages)
    rows = pl.concat([kept, lost])
    copies = kept.filter(pl.col("fault") == COPY)
    return {
        kind: {
            "asked": part.height,
            "refused": _count(part["refused"].explode().drop_nulls()),
            "given up": _count(lost.filter(pl.col("kind") == kind)["fault"]),
            "copies kept": copies.filter(pl.col("kind") == kind).height,
        }
        for (kind,), part in rows.sort("kind").group_by("kind", maintain_order=True)
    }


def _count(reasons: pl.Series) -> dict[str, int]:
    return dict(sorted(reasons.value_counts().iter_rows()))
