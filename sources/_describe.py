"""Describe: decode every image once, and keep what later steps need to know about it.

Per image: size in pixels, CLIP similarity with the task's domain texts, and a perceptual hash;
the CLIP embeddings are kept beside them (fp16), so that no later step decodes again.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from bench.errors import BenchError
from bench.shards import decode, read_bytes, sha256
from bench.stage import Stage
from bench.types import Context

HASH_SIDE = 16
"""A perceptual hash has 16 x 16 bits: at 32 pixels, 8 x 8 cannot tell poses apart."""

HASH_WORDS = [f"hash_{index}" for index in range(HASH_SIDE**2 // 64)]


def pixel_hash(image: Image.Image) -> str:
    """Return a hash of an image's size and pixels, which only exact copies share."""
    return sha256(repr(image.size).encode() + image.convert("RGB").tobytes())


def perceptual_hash(image: Image.Image) -> list[int]:
    """Return the DCT hash of an image as four signed 64-bit words."""
    import imagehash

    bits = imagehash.phash(image, hash_size=HASH_SIDE).hash
    return np.packbits(bits).view(">i8").astype(np.int64).tolist()


def describe(stage: Stage, filter_model: str, context: Context) -> Stage:
    """Return the finished description of a stage's tars.

    Args:
        stage: A finished stage whose shards hold ``images.tar`` and ``index.parquet`` with the
            columns key, offset, size, sha256; rows without an offset have no image.
        filter_model: Weights of the CLIP that scores the images.
        context: What the source was given.

    Each shard holds ``described.parquet``: the index's rows that decode, with ``shard`` (path
    below the data folder), width, height, clip_score (the largest cosine with a domain text) and
    the hash's words; and ``embeddings.npy``, float16 ``[rows, dim]``, row for row.
    """
    embedder = context.embedder(filter_model)
    texts = list(context.task.domain_texts)
    config = {"model": embedder.weights_hash, "texts": texts, "hash": f"phash {HASH_SIDE}"}
    described = Stage(context.home.data, "describe", config, [stage.output])
    if described.done:
        return described
    directions = embedder.texts(texts)

    def make(index: int, folder: Path) -> None:
        tar = stage.shard(index) / "images.tar"
        rows = pl.read_parquet(stage.shard(index) / "index.parquet").drop_nulls("offset")
        images = _Decoded(tar, rows)
        embeddings = embedder.images(images)
        if len(embeddings) != len(images.facts):
            raise BenchError(f"{len(embeddings)} embeddings for {len(images.facts)} images")
        schema = {"key": pl.String, "width": pl.Int32, "height": pl.Int32}
        facts = pl.DataFrame(
            images.facts, schema=schema | dict.fromkeys(HASH_WORDS, pl.Int64), orient="row"
        )
        scores = (embeddings @ directions.T).max(axis=1) if len(embeddings) else []
        shard = tar.relative_to(context.home.data).as_posix()
        facts.with_columns(
            pl.Series("clip_score", scores, pl.Float32), pl.lit(shard).alias("shard")
        ).join(rows, on="key", how="left", maintain_order="left").write_parquet(
            folder / "described.parquet"
        )
        np.save(folder / "embeddings.npy", embeddings.astype(np.float16))

    described.run(len(stage.shards()), make, context.progress, only=context.shards)
    return described


def described_rows(stages: Sequence[Stage]) -> pl.DataFrame:
    """Return the rows of finished descriptions."""
    return pl.concat(
        pl.read_parquet(shard / "described.parquet") for stage in stages for shard in stage.shards()
    )


def hash_words(rows: pl.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    """Return the perceptual hashes of described rows, uint64 ``[n, 4]``."""
    return (
        rows.select(HASH_WORDS)
        .to_numpy()
        .astype(np.int64)
        .view(np.uint64)
        .reshape(-1, len(HASH_WORDS))
    )


class _Decoded:
    """Yields the images of a tar that decode, noting key, size and hash of each."""

    def __init__(self, tar: Path, rows: pl.DataFrame) -> None:
        self._tar = tar
        self._rows = rows
        self.facts: list[tuple[object, ...]] = []

    def __iter__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204
        for key, offset, size in self._rows.select("key", "offset", "size").iter_rows():
            try:
                image = decode(read_bytes(self._tar, offset, size))
            except ValueError:
                continue
            self.facts.append((key, image.width, image.height, *perceptual_hash(image)))
            yield image
