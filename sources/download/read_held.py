"""Read the images of a pool that holds them: no server, no addresses, one attempt."""

import io
from functools import partial
from pathlib import Path

import polars as pl

from bench.runtime.ahead import ahead
from bench.storage.image_codec import ImageFormat
from bench.storage.stage import Stage
from bench.storage.tar_shards import ShardWriter, read_bytes, sha256
from sources.download.fetch import INDEX_SCHEMA
from sources.download.resizer import Resizer
from sources.download.safe_http import MAX_BYTES
from sources.pool.held import Content
from sources.pool.pool import Pool
from sources.pool.scan import places

_AHEAD = 64
"""Images that are read before they are packed."""

_Read = tuple[str, str | None, str | None, bytes]
"""Key, failure, SHA-256 as the pool has it, and the image as it is kept."""


def read_held(
    pool: Pool, scanned: Stage, stage: Stage, shard_size: int, images: ImageFormat
) -> None:
    """Make the shards of a stage, each of images that lie together on the disk.

    A shard is as a download's (`sources.download.fetch.fetch_shard`).

    Args:
        pool: The pool.
        scanned: Its finished scan.
        stage: The stage.
        shard_size: Images in a shard.
        images: How images are kept.

    Raises:
        BenchError: If a file is no longer what was scanned.
    """
    rows = places(scanned)
    shards = -(-rows.height // shard_size)

    def make(index: int, folder: Path) -> None:
        start, end = (rows.height * edge // shards for edge in (index, index + 1))
        _read_shard(pool, rows[start:end], folder, images)

    stage.run(shards, make)


def _read_shard(pool: Pool, rows: pl.DataFrame, folder: Path, images: ImageFormat) -> None:
    absent = pl.col("offset").is_null()
    # What is too large is never read.
    large = (pl.col("size") > MAX_BYTES).fill_null(value=False)
    lost = pl.when(absent).then(pl.lit("not in the pool")).when(large).then(pl.lit("too large"))
    rows = rows.with_columns(lost.alias("failure"))
    index = [
        {"key": key, "failure": failure}
        for key, failure in rows.drop_nulls("failure").select("key", "failure").iter_rows()
    ]
    spool, read = folder / "images.spool", partial(_read, Resizer(images))
    found = pool.contents(rows.filter(pl.col("failure").is_null()))
    with ShardWriter(spool) as writer:
        for key, failure, sent, content in ahead(read, found, _AHEAD):
            row = {"key": key, "failure": failure, "sent_sha256": sent}
            index.append(row if failure else row | writer.add(key, content, images.suffix))
    _pack(index, spool, folder, images.suffix)
    spool.unlink()


def _read(resizer: Resizer, item: tuple[str, Content]) -> _Read:
    key, read = item
    content = read()
    if content is None:
        return key, "not in the pool", None, b""
    if len(content) > MAX_BYTES:
        return key, "too large", None, b""
    kept, *_, problem = resizer(io.BytesIO(content))
    return key, problem, sha256(content), kept or b""


def _pack(index: list[dict[str, object]], spool: Path, folder: Path, suffix: str) -> None:
    """Pack the images in order of key, as a download does."""
    rows = pl.DataFrame(index, schema=INDEX_SCHEMA, orient="row").sort("key")
    packed = []
    with ShardWriter(folder / "images.tar") as writer:
        for row in rows.iter_rows(named=True):
            place = {}
            if row["failure"] is None:
                content = read_bytes(spool, row["offset"], row["size"])
                place = writer.add(row["key"], content, suffix)
            packed.append(row | place)
    pl.DataFrame(packed, schema=INDEX_SCHEMA, orient="row").write_parquet(folder / "index.parquet")
