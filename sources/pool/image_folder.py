"""A folder of images with ``metadata.jsonl``, as the Hugging Face Hub's imagefolder has it.

Each line names an image, ``file_name`` below the file's own folder, and says its ``text`` or
``caption``.
"""

import posixpath
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from sources.pool.columns import Columns, InvalidFileError
from sources.pool.json_row import ROW_SCHEMA, JsonRow, json_row
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
    pairs, places, start, flagged = [], [], 0, False
    for lines in _chunks(path, columns):
        table = pl.DataFrame([row for _, row in lines], schema=ROW_SCHEMA, orient="row")
        found = match_captions(table["caption"], partial(table.drop, "caption"), start, matcher)
        flagged = flagged or any(row.has_flag for _, row in lines)
        rows = found["row"].unique().sort()
        names = [posixpath.normpath(f"{below}/{lines[row - start][0]}") for row in rows]
        pairs.append(found)
        places.append(_places(root, rows, names))
        start += len(lines)
    if not pairs:
        raise InvalidFileError("it is empty")
    return Matches(start, flagged, pl.concat(pairs)).at(pl.concat(places))


def _places(root: Path, rows: pl.Series, names: list[str]) -> pl.DataFrame:
    """Return where files are; those that are not there have no offset."""
    sizes = [path.stat().st_size if (path := root / name).is_file() else None for name in names]
    return pl.DataFrame(
        [
            (row, name, name, None if size is None else 0, size)
            for row, name, size in zip(rows, names, sizes, strict=True)
        ],
        schema=PLACES,
        orient="row",
    )


def _chunks(path: Path, columns: Columns | None) -> Iterator[list[_Line]]:
    with path.open("rb") as stream:
        lines = (
            _line(line, number, columns)
            for number, line in enumerate(iter(partial(stream.readline, _MAX_LINE_BYTES), b""), 1)
            if line.strip()
        )
        while some := list(islice(lines, CHUNK_ROWS)):
            yield some


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
