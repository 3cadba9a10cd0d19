"""What retrieved and generated images may be copies of: the benchmark's own, in every framing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bench.core.files import read_parquet
from bench.core.json_values import Json
from bench.core.stage_names import REFERENCE
from bench.plugins.source import Context
from bench.storage.image_codec import CODEC
from bench.storage.stage import Stage
from sources.screening.framings import FRAMINGS_VERSION, framings
from sources.screening.hamming import nearest
from sources.screening.phash import (
    HASH_VERSION,
    HASH_WORDS,
    TRIMMED_WORDS,
    Hashes,
    hash_words,
    mirrored,
    pixel_hash,
)

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class References:
    """The images of some splits.

    Attributes:
        framed: split, image (its key) and framing of every hash.
        hashes: Their perceptual hashes, uint64 ``[framings of all images, 4]``.
        pixels: split, image and pixels (`pixel_hash`) of every image.
    """

    framed: pl.DataFrame
    hashes: Hashes
    pixels: pl.DataFrame


def reference_stage(context: Context) -> Stage:
    """Return the finished hashes of every image of the task, a shard for each of `SPLITS`."""
    task = context.task
    config: Json = {"task": task.fingerprint, "sizes": task.split_sizes}
    config |= {"codec": CODEC, "hash": HASH_VERSION, "framings": FRAMINGS_VERSION}
    stage = context.stage(REFERENCE, config)

    def make(shard: int, folder: Path) -> None:
        pixels, names, hashes = [], [], []
        split = task.split(SPLITS[shard], context.home)
        for image in split.images():
            shown, words = framings(image)
            pixels.append(pixel_hash(image))
            names.append(shown)
            hashes.append(words.view(np.int64))
        words = np.concatenate([np.empty((0, len(HASH_WORDS)), np.int64), *hashes])
        columns = dict(zip(HASH_WORDS, words.T, strict=True))
        keys = pl.Series("image", split.keys, pl.String)
        framed = pl.DataFrame([keys, pl.Series("framing", names, pl.List(pl.String))])
        framed.explode("framing").drop_nulls().hstack(pl.DataFrame(columns)).write_parquet(
            folder / "hashes.parquet"
        )
        whole = pl.DataFrame([keys, pl.Series("pixels", pixels, pl.String)])
        whole.write_parquet(folder / "pixels.parquet")

    stage.run(len(SPLITS), make, sharded=False)
    return stage


def read_references(stage: Stage, splits: Sequence[str]) -> References:
    """Return the references of some splits from a finished stage."""
    framed, pixels = (
        pl.concat(
            read_parquet(stage.shard(place) / name).with_columns(split=pl.lit(SPLITS[place]))
            for place in map(SPLITS.index, splits)
        )
        for name in ("hashes.parquet", "pixels.parquet")
    )
    return References(framed.drop(HASH_WORDS), hash_words(framed, HASH_WORDS), pixels)


def alike(rows: pl.DataFrame, references: References, max_distance: int) -> pl.DataFrame:
    """Return the images that look like a reference, with the nearest and its distance.

    Each is compared as it is and without its border, and mirrored in both.

    Args:
        rows: key and the columns of `HASH_SCHEMA`.
        references: What they may be copies of.
        max_distance: Differing bits allowed.

    Returns:
        key, split, image, framing and distance, in order of key.
    """
    shown = []
    for names, what in ((HASH_WORDS, ""), (TRIMMED_WORDS, ", the copy without its border")):
        some = rows.drop_nulls(names)
        hashes = hash_words(some, names)
        for words, how in ((hashes, what), (mirrored(hashes), f"{what}, mirrored")):
            shown.append((some.select("key", how=pl.lit(how)), words))
    places, apart = nearest(
        np.concatenate([words for _, words in shown]), references.hashes, max_distance
    )
    found = pl.concat(keys for keys, _ in shown).with_columns(
        place=pl.Series(places), distance=pl.Series(apart)
    )
    best = (
        found.filter(pl.col("place") >= 0)
        .sort("distance", maintain_order=True)
        .unique("key", keep="first", maintain_order=True)
        .sort("key")
    )
    against = references.framed.select("split", "image", "framing")[best["place"]]
    return best.hstack(against).with_columns(framing=pl.col("framing") + pl.col("how"))
