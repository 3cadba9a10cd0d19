"""The miniature pool as tars that hold its images, laid out as img2dataset does.

Beside each tar of ``KEY.png``, ``KEY.txt`` and ``KEY.json`` is a Parquet file of all pairs, with
those whose link is dead: their status says so, and the tar does not have them.
"""

from pathlib import Path

import msgspec
import polars as pl
from PIL import Image

from bench.core.files import atomic_folder, read_parquet
from bench.miniworld.pool import TruthRow, image_of, map_in_processes, read_truth
from bench.storage.image_codec import encode
from bench.storage.tar_shards import ShardWriter

_ALIVE = "success"


def build_tars(world: Path, folder: Path, processes: int = 1) -> None:
    """Write a pool's tars and the Parquet files beside them into a folder, whole or not at all.

    Args:
        world: A folder written by `build_pool`.
        folder: Where to write.
        processes: How many render. More than one are started with `spawn`, so a calling script
            needs a `__main__` guard.

    Raises:
        ValueError: The world is no complete pool.
    """
    truth, start = read_truth(world), 0
    with atomic_folder(folder) as made:
        for index, part in enumerate(sorted((world / "pool").glob("*.parquet"))):
            table = read_parquet(part)
            rows = truth[start : start + table.height]
            _write_part(made / f"{index:05d}", table, rows, processes)
            start += table.height


def _write_part(stem: Path, table: pl.DataFrame, rows: list[TruthRow], processes: int) -> None:
    alive = pl.Series([row.status == "ok" for row in rows])
    status = pl.when(alive).then(pl.lit(_ALIVE)).otherwise(pl.lit("failed_to_download"))
    keys = [f"{stem.name}{index:04d}" for index in range(len(rows))]
    table = table.rename({"URL": "url", "TEXT": "caption"}).with_columns(
        pl.Series("key", keys), status=status
    )
    table.write_parquet(stem.with_suffix(".parquet"))
    images = map_in_processes(image_of, [row for row in rows if row.status == "ok"], processes)
    with ShardWriter(stem.with_suffix(".tar")) as writer:
        for pair, image in zip(table.filter(alive).iter_rows(named=True), images, strict=True):
            writer.add(pair["key"], encode(Image.fromarray(image), ".png"), ".png")
            writer.add(pair["key"], pair["caption"].encode(), ".txt")
            writer.add(pair["key"], msgspec.json.encode(pair), ".json")
