"""De-duplicate: keep no image twice, and no validation or test image of the benchmark at all."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bench.core.json_values import Json
from bench.core.stage_names import DEDUP, REFERENCE
from bench.plugins.source import Context
from bench.storage.packing import shrink
from bench.storage.stage import Stage
from sources.screening.hamming import nearest, pairs_within
from sources.screening.phash import (
    FRAMINGS,
    HASH_SCHEMA,
    HASH_SIDE,
    HASH_WORDS,
    framings,
    hash_words,
    perceptual_hash,
    pixel_hash,
)

REFERENCE_DISTANCE = 40
"""Bits of 256 within which an image counts as a copy of a benchmark image, in any framing. Measured
by tests/benchmarks/dedup_recall.py; its table is in docs/retrieval.md."""

POOL_DISTANCE = 31
"""Bits within which two images of a set count as copies. The most at which every pair is found
quickly (`pairs_within`), and stricter: a second copy costs less than an image that is none."""

_REDUCED = 256
"""Longest side at which benchmark images are hashed, in pixels; 64 would do for the hash."""

LEAKED, EQUAL, NEAR = "copies of val or test images", "equal bytes", "near copies"

REMOVED_SCHEMA = pl.Schema(
    {
        "key": pl.String,
        "reason": pl.String,
        "distance": pl.Int64,
        "kept": pl.String,
        "split": pl.String,
        "image": pl.String,
        "framing": pl.String,
    }
)
"""A removed image: its key, why, the differing bits, and what it is a copy of: the key of an image
that stays, or split, key and framing of a benchmark image."""


@dataclass(frozen=True)
class Deduplicated:
    """What de-duplication left.

    Attributes:
        rows: The rows that stay, in order of key.
        removed: The others, with the columns of `REMOVED_SCHEMA`.
        counts: How many were removed for which reason, by which descriptor and distances.
    """

    rows: pl.DataFrame
    removed: pl.DataFrame
    counts: Json


def drop_duplicates(
    rows: pl.DataFrame, context: Context, max_distance: int = REFERENCE_DISTANCE
) -> Deduplicated:
    """Remove copies of benchmark images and second copies of an image; done once for equal rows.

    Args:
        rows: Embedded rows; those of images that were reduced have the hash of their `pixels`.
        context: What the source was given; its task's val and test splits are the references.
        max_distance: Bits within which an image counts as a copy of a benchmark image; images of
            the set within as many, but at most `POOL_DISTANCE`.
    """
    rows = rows.sort("key")
    references = _references(context)
    distances = (max_distance, min(max_distance, POOL_DISTANCE))
    config: Json = {"images": _fingerprint(rows), "distances": distances}
    stage = context.stage(DEDUP, config, [references.output])

    def make(_: int, folder: Path) -> None:
        table = pl.concat(
            pl.read_parquet(shard / "hashes.parquet") for shard in references.shards()
        )
        leaked = _leaked(rows, table, max_distance)
        clean = rows.join(leaked, on="key", how="anti", maintain_order="left")
        equal = _equal(clean)
        distinct = clean.join(equal, on="key", how="anti", maintain_order="left")
        removed = pl.concat([leaked, equal, _near(distinct, distances[1])])
        removed.sort("key").write_parquet(folder / "removed.parquet")

    stage.run(1, make, sharded=False)
    removed = pl.read_parquet(stage.shard(0) / "removed.parquet")
    counts = dict(removed.group_by("reason").len().iter_rows())
    descriptor = (
        f"phash {HASH_SIDE}x{HASH_SIDE}: at most {distances[0]} bits from a val or test image as "
        f"it is, cropped, bordered or mirrored, {distances[1]} from another image"
    )
    return Deduplicated(
        rows.join(removed, on="key", how="anti", maintain_order="left"),
        removed,
        {reason: counts.get(reason, 0) for reason in (LEAKED, EQUAL, NEAR)}
        | {"descriptor": descriptor},
    )


def _leaked(rows: pl.DataFrame, references: pl.DataFrame, max_distance: int) -> pl.DataFrame:
    """Return the images that are copies of benchmark images, by their pixels or their look."""
    leaked = []
    if "pixels" in rows.columns:
        # The perceptual hash of an image that was reduced is not that of the image as it was.
        whole = references.drop_nulls("pixels").unique("pixels", keep="first", maintain_order=True)
        exact = rows.join(whole, on="pixels").with_columns(distance=pl.lit(0))
        leaked.append(_removed(exact, LEAKED))
        rows = rows.join(exact, on="key", how="anti", maintain_order="left")
    rows, references = rows.drop_nulls(HASH_WORDS), references.drop_nulls(HASH_WORDS)
    if rows.height and references.height:
        places, apart = nearest(hash_words(rows), hash_words(references))
        against = references.select("split", "image", "framing")[places]
        judged = rows.select("key").hstack(against).with_columns(distance=pl.Series(apart))
        leaked.append(_removed(judged.filter(pl.col("distance") <= max_distance), LEAKED))
    return pl.concat([REMOVED_SCHEMA.to_frame(), *leaked])


def _equal(rows: pl.DataFrame) -> pl.DataFrame:
    """Return all but the first of the images with the same bytes."""
    first = pl.col("key").first().over("sha256")
    copies = rows.select("key", kept=first, distance=0).filter(pl.col("key") != pl.col("kept"))
    return _removed(copies, EQUAL)


def _near(rows: pl.DataFrame, max_distance: int) -> pl.DataFrame:
    """Return the images that look like an earlier one that stays."""
    rows = rows.drop_nulls(HASH_WORDS)
    hashes, first, group = np.unique(
        hash_words(rows), axis=0, return_index=True, return_inverse=True
    )
    # By group of equal hashes: the place of the image that stays for it, and how far it is.
    kept, apart = first.copy(), np.zeros(len(first), np.int64)
    pairs = np.stack(pairs_within(hashes, max_distance), axis=1)
    places = np.sort(first[pairs[:, :2]], axis=1)
    for place in np.lexsort((pairs[:, 2], places[:, 0], places[:, 1])):
        early, late = sorted(pairs[place, :2], key=first.__getitem__)
        if kept[early] == first[early] and kept[late] == first[late]:
            kept[late], apart[late] = first[early], pairs[place, 2]
    keys, group = rows["key"], group.reshape(-1)
    copies = pl.DataFrame(
        {"key": keys, "kept": keys[kept[group]], "distance": apart[group]},
    )
    return _removed(copies.filter(pl.col("key") != pl.col("kept")), NEAR)


def _removed(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Return rows with the columns of `REMOVED_SCHEMA`; those they lack are null."""
    rows = rows.with_columns(reason=pl.lit(reason))
    missing = [pl.lit(None).alias(name) for name in REMOVED_SCHEMA if name not in rows.columns]
    return rows.with_columns(missing).select(
        pl.col(name).cast(kind) for name, kind in REMOVED_SCHEMA.items()
    )


def _fingerprint(rows: pl.DataFrame) -> str:
    """Return a hash of all that decides which rows are copies."""
    hasher = hashlib.sha256()
    for name in ("key", "sha256", "pixels"):
        if name in rows.columns:
            hasher.update("\n".join(rows[name]).encode())
    return hasher.hexdigest()[:16]


def _references(context: Context) -> Stage:
    """Return the finished hashes of every val and test image, in every framing."""
    task, splits = context.task, ("val", "test")
    config: Json = {"task": task.fingerprint, "sizes": task.split_sizes, "hash": HASH_SIDE}
    schema: dict[str, type[pl.DataType]] = {"split": pl.String, "image": pl.String}
    schema |= {"framing": pl.String, "pixels": pl.String} | HASH_SCHEMA
    config |= {"longest side": _REDUCED, "framings": FRAMINGS, "columns": list(schema)}
    stage = context.stage(REFERENCE, config)

    def make(shard: int, folder: Path) -> None:
        rows: list[tuple[object, ...]] = []
        split = task.split(splits[shard], context.home)
        for key, image in zip(split.keys, split.images(), strict=True):
            pixels: str | None = pixel_hash(image)
            # Framing is quick in grey, which is all that the hash looks at.
            for framing, shown in framings(shrink(image, _REDUCED).convert("L")):
                rows.append((split.name, key, framing, pixels, *perceptual_hash(shown)))
                pixels = None
        table = pl.DataFrame(rows, schema=schema, orient="row")
        table.write_parquet(folder / "hashes.parquet")

    stage.run(len(splits), make, sharded=False)
    return stage
