"""Pack images of other formats into tar shards with an index."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bench.core.files import read_parquet
from bench.storage.stage import Stage
from bench.storage.tar_shards import INDEX_SCHEMA, ShardWriter

IMAGES_PER_SHARD = 10_000


@dataclass(frozen=True)
class EncodedImage:
    """One encoded image to pack.

    Attributes:
        key: Its unique name.
        content: Its encoded bytes.
        suffix: ``.png`` or ``.jpg``.
        label: Its class index.
        size: Width and height in pixels.
        pixels: Hash of its pixels before it was shrunk and encoded, for a search for copies.
    """

    key: str
    content: bytes
    suffix: str
    label: int
    size: tuple[int, int]
    pixels: str = ""


def pack_images(
    stage: Stage, total: int, images: Callable[[range], Iterator[EncodedImage]]
) -> None:
    """Write images into the shards of a stage: ``images.tar`` and ``index.parquet`` each.

    Args:
        stage: The stage.
        total: Number of images.
        images: Yields the images of a range.
    """

    def make(index: int, folder: Path) -> None:
        wanted = range(index * IMAGES_PER_SHARD, min((index + 1) * IMAGES_PER_SHARD, total))
        rows: list[dict[str, Any]] = []
        with ShardWriter(folder / "images.tar") as writer:
            for image in images(wanted):
                place = writer.add(image.key, image.content, image.suffix)
                columns = {"key": image.key, "label": image.label, "pixels": image.pixels}
                size = {"width": image.size[0], "height": image.size[1]}
                rows.append({**columns, **size, **place})
        names = ("key", "label", "width", "height", "offset", "size", "sha256")
        schema = {name: INDEX_SCHEMA[name] for name in names} | {"pixels": pl.String()}
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "index.parquet")

    stage.run(-(-total // IMAGES_PER_SHARD), make)


def packed_rows(stage: Stage, class_names: Sequence[str]) -> pl.DataFrame:
    """Return the rows of packed images, with every column of an image set."""
    names = list(class_names)
    parts = [
        read_parquet(shard / "index.parquet").with_columns(
            shard=pl.lit((shard / "images.tar").relative_to(stage.folder.parent).as_posix())
        )
        for shard in stage.shards()
    ]
    rows = pl.concat(parts)
    missing = [name for name in INDEX_SCHEMA if name not in (*rows.columns, "class_name")]
    return rows.with_columns(
        pl.col("label").replace_strict(range(len(names)), names).alias("class_name"),
        *(pl.lit(None, INDEX_SCHEMA[name]).alias(name) for name in missing),
    )
