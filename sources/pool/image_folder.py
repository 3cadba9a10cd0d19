"""A folder of images with ``metadata.jsonl``, as the Hugging Face Hub's imagefolder has it.

Each line names an image, ``file_name`` below the file's own folder, and says its ``text`` or
``caption``.
"""

import posixpath
from codecs import BOM_UTF8
from collections.abc import Iterator
from errno import ENAMETOOLONG
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl

from bench.core.names import composed
from sources.pool.columns import Columns, InvalidFileError
from sources.pool.json_row import ROW_SCHEMA, JsonRow, json_row
from sources.pool.kinds import read_tree
from sources.pool.match_file import CHUNK_ROWS, PLACES, Matches, match_captions
from sources.pool.matcher import CaptionMatcher

_FILE_NAME = "file_name"

_MAX_LINE_BYTES = 1_000_000

_Line = tuple[str, JsonRow]
"""The image's name, and what is said of it."""


def match_folder(
    path: Path, root: Path, columns: Columns | None, matcher: CaptionMatcher
) -> Matches:
    """Return the matches of one ``metadata.jsonl``.

    Args:
        path: The file.
        root: The pool's folder.
        columns: The names that are declared, of values in a line.
        matcher: Finds the classes of captions.

    Raises:
        InvalidFileError: If a line is no JSON object, is too long, has no file_name, or one that
            leads out of the folder, or values of another kind; or no line has a caption.
    """
    below = path.parent.relative_to(root).as_posix()
    pairs, places, start, flagged, captioned = [], [], 0, False, False
    for lines in _chunks(path, columns):
        table = pl.DataFrame([row for _, row in lines], schema=ROW_SCHEMA, orient="row")
        found = match_captions(table["caption"], partial(table.drop, "caption"), start, matcher)
        flagged = flagged or any(row.has_flag for _, row in lines)
        captioned = captioned or any(row.caption is not None for _, row in lines)
        rows = found["row"].unique().sort()
        names = [composed(posixpath.normpath(f"{below}/{lines[row - start][0]}")) for row in rows]
        pairs.append(found)
        places.append(_places(root, rows, names))
        start += len(lines)
    if not pairs:
        raise InvalidFileError("it is empty")
    if not captioned:
        raise InvalidFileError("none of its lines has a text or caption")
    return Matches(start, flagged, pl.concat(pairs)).at(pl.concat(places))


def _places(root: Path, rows: pl.Series, names: list[str]) -> pl.DataFrame:
    """Return where files are; those that are not there have no offset."""
    sizes = {name: _size(root / name) for name in names}
    lost = any(size is None and not name.isascii() for name, size in sizes.items())
    files = _as_written(root) if lost else {}
    found = []
    for row, name in zip(rows, names, strict=True):
        file, size = name, sizes[name]
        if size is None and name in files:
            file, size = files[name], _size(root / files[name])
        found.append((row, name, file, None if size is None else 0, size))
    return pl.DataFrame(found, schema=PLACES, orient="row")


def _as_written(root: Path) -> dict[str, str]:
    """Return the composed names of images to their paths on the disk, as macOS may write them."""
    files = read_tree(root, "folder").files
    return {name: path.relative_to(root).as_posix() for name, path in files if not name.isascii()}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError as error:
        if error.errno != ENAMETOOLONG:
            raise
        return None


def _chunks(path: Path, columns: Columns | None) -> Iterator[list[_Line]]:
    with path.open("rb") as stream:
        lines = (
            _line(line, number, columns)
            for number, line in enumerate(_raw_lines(stream), 1)
            if line.strip()
        )
        while some := list(islice(lines, CHUNK_ROWS)):
            yield some


def _raw_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines, without the mark that editors on Windows begin a file with."""
    if stream.read(len(BOM_UTF8)) != BOM_UTF8:
        stream.seek(0)
    yield from iter(partial(stream.readline, _MAX_LINE_BYTES), b"")


def _line(line: bytes, number: int, columns: Columns | None) -> _Line:
    where = f"line {number:,}"
    try:
        values = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidFileError(f"{where} is no JSON object: {error}") from error
    name = values.get(_FILE_NAME)
    if not isinstance(name, str) or not name:
        raise InvalidFileError(f"{where} has no {_FILE_NAME}")
    if "\0" in name or posixpath.isabs(name) or ".." in name.split("/"):
        raise InvalidFileError(f"{where} leads out of the folder: {name!r:.200}")
    return name, json_row(values, columns, where)
