"""Tar shards of images, with an index to read one image without unpacking.

The tars are webdataset tars (``KEY.png`` or ``KEY.jpg`` members); the index gives each image's
byte offset, so that any subset is read in any order, straight from the tar.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from bench.core.errors import BenchError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

INDEX_SCHEMA = pl.Schema(
    {
        "key": pl.String,
        "shard": pl.String,
        "offset": pl.Int64,
        "size": pl.Int64,
        "label": pl.Int64,
        "class_name": pl.String,
        "caption": pl.String,
        "caption_id": pl.String,
        "copy": pl.Int64,
        "pair": pl.String,
        "origin": pl.String,
        "url": pl.String,
        "seed": pl.Int64,
        "sha256": pl.String,
        "clip_score": pl.Float32,
        "width": pl.Int32,
        "height": pl.Int32,
    }
)


class ShardWriter:
    """Writes images to a tar and returns the place of each.

    Args:
        path: The tar file to write.
    """

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def add(self, key: str, content: bytes, suffix: str) -> dict[str, Any]:
        """Append one encoded image; return its offset, size and SHA-256."""
        member = tarfile.TarInfo(f"{key}{suffix}")
        member.size = len(content)
        # USTAR headers are one 512-byte block; the data follows.
        offset = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(member, io.BytesIO(content))
        return {"offset": offset, "size": len(content), "sha256": sha256(content)}


def sha256(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield (key, offset, size) of every image in a tar.

    Raises:
        BenchError: If the tar is truncated or not a tar.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                stem, suffix = os.path.splitext(member.name)  # noqa: PTH122
                if member.isfile() and suffix.lower() in _SUFFIXES:
                    yield stem, member.offset_data, member.size
    except (tarfile.TarError, OSError) as error:
        raise corrupt(path, str(error)) from error


def read_bytes(path: Path, offset: int, size: int) -> bytes:
    """Read one image's bytes out of a tar.

    Raises:
        BenchError: If the tar is missing or shorter than the index says.
    """
    try:
        with path.open("rb") as stream:
            content = os.pread(stream.fileno(), size, offset)
    except OSError as error:
        raise corrupt(path, error.strerror or "unreadable") from error
    if len(content) != size:
        raise corrupt(path, "truncated")
    return content


def corrupt(path: Path, why: str) -> BenchError:
    """Return the error for a corrupt file; a stage's own file can be made again."""
    stage = path.parent.parent
    if not (stage / "plan.json").is_file():
        return BenchError(f"the file {path} is corrupt ({why})", "put a whole copy in its place")
    return BenchError(
        f"the shard {path} is corrupt ({why})",
        f"delete {stage} and run again: only that stage is made again",
    )
