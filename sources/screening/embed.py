"""Embed: decode every image once, and keep what later steps need to know about it.

Per image: size in pixels, perceptual hashes and the embedding of one CLIP. It depends on the
images and that CLIP alone, its weights and its configuration, so that other texts, thresholds and
tasks embed nothing again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import fingerprint, read_parquet
from bench.core.stage_names import EMBED
from bench.plugins.source import Context
from bench.runtime.ahead import ahead
from bench.storage.image_codec import decode
from bench.storage.stage import Stage
from bench.storage.tar_shards import read_bytes
from sources.screening.phash import HASH_SCHEMA, HASH_VERSION, looks

if TYPE_CHECKING:
    from PIL.Image import Image


_AHEAD = 256
"""Images that are decoded before they are used: one batch of the embedder."""


def embed(stage: Stage, filter_model: str, context: Context) -> Stage:
    """Return the finished embeddings of a stage's images.

    Args:
        stage: A finished stage whose shards hold ``images.tar`` and ``index.parquet`` with the
            columns key, offset, size, sha256; rows without an offset have no image.
        filter_model: Weights of the CLIP that embeds the images.
        context: What the source was given.

    Each shard holds ``embedded.parquet``: the index's rows that decode, with ``shard`` (path
    below the data folder), width, height and the hashes' words; and ``embeddings.npy``, float16
    ``[rows, dim]``, L2-normalised, row for row.
    """
    embedder = context.embedder(filter_model)
    config = {
        "model": embedder.weights_hash,
        # The same weights under another activation or preprocessing embed otherwise.
        "configuration": fingerprint(context.home.find_weights(filter_model)),
        "hash": HASH_VERSION,
    }
    embedded = context.stage(EMBED, config, [stage.output])
    if embedded.done:
        return embedded

    def make(index: int, folder: Path) -> None:
        tar = stage.shard(index) / "images.tar"
        rows = read_parquet(stage.shard(index) / "index.parquet").drop_nulls("offset")
        images = Decoded(tar, rows)
        embeddings = embedder.images(images)
        if len(embeddings) != len(images.facts):
            raise BenchError(f"{len(embeddings)} embeddings for {len(images.facts)} images")
        schema = {"key": pl.String, "width": pl.Int32, "height": pl.Int32} | HASH_SCHEMA
        facts = pl.DataFrame(images.facts, schema=schema, orient="row")
        shard = tar.relative_to(context.home.data).as_posix()
        facts.with_columns(pl.lit(shard).alias("shard")).join(
            rows, on="key", how="left", maintain_order="left"
        ).write_parquet(folder / "embedded.parquet")
        np.save(folder / "embeddings.npy", embeddings.astype(np.float16))

    embedded.run(len(stage.shards()), make)
    return embedded


def embedded_rows(stages: Sequence[Stage]) -> pl.DataFrame:
    """Return the rows of finished embeddings."""
    return pl.concat(
        read_parquet(shard / "embedded.parquet") for stage in stages for shard in stage.shards()
    )


def embeddings(shard: Path) -> tuple[pl.DataFrame, NDArray[np.float16]]:
    """Return a finished shard's embedded rows and their embeddings, memory-mapped, row for row."""
    rows = read_parquet(shard / "embedded.parquet")
    return rows, np.load(shard / "embeddings.npy", mmap_mode="r")


class Decoded:
    """Yield the images of a tar that decode, noting key, size and hash of each.

    Threads decode and hash them, up to `_AHEAD` images before they are used.
    """

    def __init__(self, tar: Path, rows: pl.DataFrame) -> None:
        self._tar = tar
        self._places = rows.select("key", "offset", "size")
        self.facts: list[tuple[object, ...]] = []

    def __iter__(self) -> "Iterator[Image]":
        for made in ahead(self._read, self._places.iter_rows(), _AHEAD):
            if made is not None:
                image, facts = made
                self.facts.append(facts)
                yield image

    def _read(self, place: tuple[str, int, int]) -> "tuple[Image, tuple[object, ...]] | None":
        """Return an image and its facts; None if it does not decode."""
        key, offset, size = place
        try:
            image = decode(read_bytes(self._tar, offset, size))
        except ValueError:
            return None
        return image, (key, image.width, image.height, *looks(image))
