"""One image of an export, with what is known of it."""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.exports.found import Exported
from bench.storage.tar_shards import corrupt, read_bytes, sha256

FACTS = {
    "key": pl.String,
    "class_name": pl.String,
    "caption": pl.String,
    "copy": pl.Int64,
    "pair": pl.String,
    "origin": pl.String,
    "url": pl.String,
    "seed": pl.Int64,
    "clip_score": pl.Float32,
    "width": pl.Int32,
    "height": pl.Int32,
    "sha256": pl.String,
}
"""What an image set says of each image, beside its label."""


class Item(NamedTuple):
    """One image.

    Attributes:
        name: A number, so that no name of a file depends on what a source calls an image.
        suffix: ``.png`` or ``.jpg``.
        content: Its bytes, as the set has them.
        label: Its class's index in the task.
        facts: `FACTS`, with the set's ``source`` and the generator or pool, ``maker``.
    """

    name: str
    suffix: str
    content: bytes
    label: int
    facts: Json


def items(exported: Exported) -> Iterator[Item]:
    """Yield the images, in order of key.

    Raises:
        BenchError: If one is no longer what the set's index says.
    """
    made = {"source": exported.manifest.source, "maker": exported.maker}
    places = ("shard", "offset", "size", "label")
    for number, row in enumerate(exported.rows.select(*places, *FACTS).iter_rows(named=True)):
        shard, offset, size, label = (row.pop(name) for name in places)
        path = exported.images.data / shard
        content = read_bytes(path, offset, size)
        if sha256(content) != row["sha256"]:
            raise corrupt(path, "an image is not the one that was indexed")
        yield Item(f"{number:09d}", _suffix(content), content, label, row | made)


def _suffix(content: bytes) -> str:
    for start, suffix in ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg")):
        if content.startswith(start):
            return suffix
    raise BenchError(f"an image begins with {content[:8]!r}", "make the image set again")
