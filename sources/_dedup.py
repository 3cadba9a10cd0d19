"""De-duplicate: no image twice, and none of the benchmark's validation or test images at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.progress import Progress
from bench.stage import Stage
from bench.types import Context
from sources._describe import HASH_SIDE, HASH_WORDS, hash_words, perceptual_hash, pixel_hash

MAX_DISTANCE = 52
"""Bits out of 256 in which copies may differ. Measured on the miniature world's 2,400 test images:
90 % of copies differ in at most 2 bits after a brightness shift, 22 after noise, and 54 to 62 after
a crop by one pixel, so some crops are missed; of unrelated pairs in a domain the closest differ in
52 bits and 99.9 % in at least 90."""

_CHUNK = 2_000

Hashes = NDArray[np.uint64]


def drop_duplicates(
    rows: pl.DataFrame, context: Context, max_distance: int = MAX_DISTANCE
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Remove copies of benchmark images and second copies of an image.

    Args:
        rows: Described rows; those of images that were reduced have the hash of their `pixels`.
        context: What the source was given; its task's val and test splits are the references.
        max_distance: Bits within which two images count as copies.

    Returns:
        The rows that stay, in order of key, and how many were removed for which reason.
    """
    rows = rows.sort("key")
    references = _references(context)
    leaked = near(hash_words(rows), hash_words(references), max_distance)
    if "pixels" in rows.columns:
        # The perceptual hash of an image that was reduced is not that of the image as it was.
        leaked |= rows["pixels"].is_in(references["pixels"].implode()).to_numpy()
    clean = rows.filter(~pl.Series(leaked))
    exact = clean.unique("sha256", keep="first", maintain_order=True)
    repeated = _repeated(hash_words(exact), max_distance)
    kept = exact.filter(~pl.Series(repeated))
    return kept, {
        "copies of val or test images": int(leaked.sum()),
        "equal bytes": clean.height - exact.height,
        "near copies": int(repeated.sum()),
        "descriptor": f"phash {HASH_SIDE}x{HASH_SIDE}, at most {max_distance} bits apart",
    }


def near(hashes: Hashes, references: Hashes, max_distance: int) -> NDArray[np.bool_]:
    """Return which hashes lie within some bits of a reference.

    Args:
        hashes: uint64 ``[n, words]``.
        references: uint64 ``[m, words]``.
        max_distance: Differing bits allowed.
    """
    found = np.zeros(len(hashes), bool)
    for rows in _chunks(len(hashes)):
        for columns in _chunks(len(references)):
            close = _distances(hashes[rows], references[columns]) <= max_distance
            found[rows] |= close.any(axis=1)
    return found


def _repeated(hashes: Hashes, max_distance: int) -> NDArray[np.bool_]:
    """Return which hashes have an earlier one within so many bits."""
    found = np.zeros(len(hashes), bool)
    place = np.arange(len(hashes))
    for rows in _chunks(len(hashes)):
        for columns in _chunks(rows.stop):
            close = _distances(hashes[rows], hashes[columns]) <= max_distance
            earlier = place[columns] < place[rows][:, None]
            found[rows] |= (close & earlier).any(axis=1)
    return found


def _chunks(total: int) -> Iterator[slice]:
    """Yield slices that cut so many hashes into pieces whose pairs fit in memory."""
    for start in range(0, total, _CHUNK):
        yield slice(start, min(start + _CHUNK, total))


def _distances(left: Hashes, right: Hashes) -> NDArray[np.uint16]:
    """Return the number of differing bits of every pair, ``[n, m]``."""
    total = np.zeros((len(left), len(right)), np.uint16)
    for word in range(left.shape[1]):
        total += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return total


def _references(context: Context) -> pl.DataFrame:
    """Return the hashes of the pixels and of the look of every val and test image."""
    task = context.task
    stage = Stage(
        context.home.data,
        "reference",
        {"task": task.pin, "sizes": task.split_sizes, "hash": HASH_SIDE, "pixels": True},
    )

    def make(index: int, folder: Path) -> None:
        split = task.split(("val", "test")[index], context.home)
        rows = [(pixel_hash(image), *perceptual_hash(image)) for image in split.images()]
        schema = {"pixels": pl.String} | dict.fromkeys(HASH_WORDS, pl.Int64)
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "hashes.parquet")

    stage.run(2, make, Progress(quiet=True))
    return pl.concat(pl.read_parquet(shard / "hashes.parquet") for shard in stage.shards())
