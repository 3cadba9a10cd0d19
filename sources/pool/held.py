"""Pools that hold their images: where the image of each pair is, and what it is called."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from bench.storage.tar_shards import read_bytes
from sources.pool.image_folder import match_folder
from sources.pool.image_table import image_column, images_of, match_table
from sources.pool.kinds import Kind, PoolDeclaration
from sources.pool.match_file import Matches
from sources.pool.matcher import CaptionMatcher
from sources.pool.tars import match_tar

Content = Callable[[], bytes | None]
"""Reads the bytes of an image; None if they are not there."""


def match_held(
    kind: Kind, path: Path, root: Path, declaration: PoolDeclaration, matcher: CaptionMatcher
) -> Matches:
    """Return the matches of one file of a pool that holds its images.

    Args:
        kind: What the pool is.
        path: A tar, a Parquet file, or a metadata.jsonl.
        root: The pool's folder.
        declaration: What its pool.yaml says.
        matcher: Finds the classes of captions.

    Raises:
        InvalidFileError: If the file cannot be scanned.
    """
    columns = declaration.columns
    match kind:
        case "tars":
            return match_tar(path, root, columns, matcher)
        case "folder":
            return match_folder(path, root, columns, matcher)
    return match_table(path, root, columns, declaration.image, matcher)


def contents(
    kind: Kind, root: Path, image: str | None, places: pl.DataFrame
) -> Iterator[tuple[str, Content]]:
    """Yield the key of each image and what reads it, in order on the disk.

    Args:
        kind: What the pool is.
        root: Its folder.
        image: The column of images that its pool.yaml declares.
        places: key, file, offset and size, none of them null but sizes in Parquet files; sorted by
            file and offset.
    """
    if kind != "parquet":
        for key, file, offset, size in places.select("key", "file", "offset", "size").iter_rows():
            yield key, partial(read_bytes, root / file, offset, size)
        return
    for (file,), rows in places.group_by("file", maintain_order=True):
        path = root / str(file)
        wanted: Sequence[int] = rows["offset"].to_list()
        images = images_of(path, image_column(path, image), wanted)
        for key, content in zip(rows["key"], images, strict=True):
            yield key, partial(_given, content)


def _given(content: bytes | None) -> bytes | None:
    return content
