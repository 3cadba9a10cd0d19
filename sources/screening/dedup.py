"""De-duplicate: keep no image twice, and no validation or test image of the benchmark at all."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bench.core.files import read_parquet
from bench.core.json_values import Json
from bench.core.stage_names import DEDUP
from bench.plugins.source import Context
from sources.screening.hamming import pairs_within
from sources.screening.phash import HASH_SIDE, HASH_VERSION, HASH_WORDS, hash_words
from sources.screening.references import References, alike, read_references, reference_stage

COPY_DISTANCE = 28
"""Bits of 256 within which an image counts as a copy of a benchmark image, in any framing, or of
another image. Measured by tests/benchmarks/dedup_recall.py; its table is in docs/retrieval.md. Up
to 31, every pair within a set is found quickly (`pairs_within`)."""

LEAKED, TRAIN = "copies of val or test images", "copies of train images"
EQUAL, NEAR = "equal bytes", "near copies"
REMOVED = (LEAKED, EQUAL, NEAR)
"""What is always removed."""

COPIES_SCHEMA = pl.Schema(
    {
        "key": pl.String,
        "reason": pl.String,
        "removed": pl.Boolean,
        "distance": pl.Int64,
        "kept": pl.String,
        "split": pl.String,
        "image": pl.String,
        "framing": pl.String,
    }
)
"""A copy: its key, of what kind it is, whether it was removed, the differing bits, and what it is a
copy of: the key of an image that stays, or split, key and framing of a benchmark image."""


@dataclass(frozen=True)
class Deduplicated:
    """What de-duplication left.

    Attributes:
        rows: The rows that stay, in order of key.
        copies: The others, and the copies of train images that stay; columns of `COPIES_SCHEMA`.
        counts: How many copies of each kind there are, and by which descriptor and distances.
    """

    rows: pl.DataFrame
    copies: pl.DataFrame
    counts: Json


def drop_duplicates(
    rows: pl.DataFrame,
    context: Context,
    max_distance: int = COPY_DISTANCE,
    *,
    drop_train: bool = False,
) -> Deduplicated:
    """Remove copies of benchmark images and second copies of an image; done once for equal rows.

    Args:
        rows: Embedded rows; those of images that were reduced have the hash of their `pixels`.
        context: What the source was given; its task's splits are the references.
        max_distance: Bits within which an image counts as a copy of a benchmark image; images of
            the set within as many, but at most `COPY_DISTANCE`.
        drop_train: Whether copies of train images are removed too; if not, they are counted.
    """
    rows = rows.sort("key")
    stage = reference_stage(context)
    within = min(max_distance, COPY_DISTANCE)
    config: Json = {"images": _fingerprint(rows), "distances": (max_distance, within)}
    config |= {"hash": HASH_VERSION, "drop train copies": drop_train}
    dedup = context.stage(DEDUP, config, [stage.output])

    def make(_: int, folder: Path) -> None:
        leaked = _copies_of(read_references(stage, ("val", "test")), rows, LEAKED, max_distance)
        clean = rows.join(leaked, on="key", how="anti", maintain_order="left")
        equal = _equal(clean)
        distinct = clean.join(equal, on="key", how="anti", maintain_order="left")
        near = _near(distinct, within)
        single = distinct.join(near, on="key", how="anti", maintain_order="left")
        train = _copies_of(read_references(stage, ("train",)), single, TRAIN, max_distance)
        train = train.with_columns(removed=pl.lit(drop_train))
        pl.concat([leaked, equal, near, train]).sort("key").write_parquet(folder / "copies.parquet")

    dedup.run(1, make, sharded=False)
    copies = read_parquet(dedup.shard(0) / "copies.parquet")
    counts = dict(copies.group_by("reason").len().iter_rows())
    descriptor = (
        f"hash of {HASH_SIDE}x{HASH_SIDE} frequencies: at most {max_distance} bits from a "
        f"benchmark image as it is, cropped, turned, without its border or mirrored, {within} from "
        f"another image; copies of train images {'are removed' if drop_train else 'stay'}"
    )
    return Deduplicated(
        rows.join(copies.filter("removed"), on="key", how="anti", maintain_order="left"),
        copies,
        {reason: counts.get(reason, 0) for reason in (*REMOVED, TRAIN)}
        | {"descriptor": descriptor},
    )


def _copies_of(
    references: References, rows: pl.DataFrame, reason: str, max_distance: int
) -> pl.DataFrame:
    """Return the images that are copies of benchmark images, by their pixels or their look."""
    copies = []
    if "pixels" in rows.columns:
        # The perceptual hash of an image that was reduced is not that of the image as it was.
        whole = references.pixels.unique("pixels", keep="first", maintain_order=True)
        exact = rows.join(whole, on="pixels").with_columns(distance=pl.lit(0))
        copies.append(_copies(exact, reason))
        rows = rows.join(exact, on="key", how="anti", maintain_order="left")
    copies.append(_copies(alike(rows, references, max_distance), reason))
    return pl.concat([COPIES_SCHEMA.to_frame(), *copies])


def _equal(rows: pl.DataFrame) -> pl.DataFrame:
    """Return all but the first of the images with the same bytes."""
    first = pl.col("key").first().over("sha256")
    copies = rows.select("key", kept=first, distance=0).filter(pl.col("key") != pl.col("kept"))
    return _copies(copies, EQUAL)


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
    return _copies(copies.filter(pl.col("key") != pl.col("kept")), NEAR)


def _copies(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Return rows with the columns of `COPIES_SCHEMA`; those they lack are null."""
    rows = rows.with_columns(reason=pl.lit(reason), removed=pl.lit(True))
    missing = [pl.lit(None).alias(name) for name in COPIES_SCHEMA if name not in rows.columns]
    return rows.with_columns(missing).select(
        pl.col(name).cast(kind) for name, kind in COPIES_SCHEMA.items()
    )


def _fingerprint(rows: pl.DataFrame) -> str:
    """Return a hash of all that decides which rows are copies."""
    hasher = hashlib.sha256()
    for name in ("key", "sha256", "pixels"):
        if name in rows.columns:
            hasher.update("\n".join(rows[name]).encode())
    return hasher.hexdigest()[:16]
