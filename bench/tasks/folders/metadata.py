"""A table that names the classes of a folder's images, as Hugging Face's ImageFolder has it.

``metadata.csv`` or ``metadata.jsonl`` has the columns ``file_name`` (from the table's folder),
``label`` (or ``class``, which counts where both are there) and perhaps ``split``.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bench.core.errors import RequestError
from bench.core.names import composed

TABLES = ("metadata.csv", "metadata.jsonl")

MAX_BYTES = 2**28
"""Bytes of a table, which is read as a whole; a million images take about 60 MB."""

_SEPARATORS = ",;\t|"
_FILE, _LABELS, _SPLIT = "file_name", ("class", "label"), "split"


class LabelledRow(NamedTuple):
    """A row of a table: the file's name in its folder, its class and, if given, its split."""

    file: str
    class_name: str
    split: str


def table_in(folder: Path) -> Path | None:
    """Return the table in a folder; None if there is none.

    Raises:
        RequestError: If there are two.
    """
    found = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(found) > 1:
        raise RequestError(f"{folder} has both {' and '.join(TABLES)}", "remove one")
    return found[0] if found else None


def read_table(path: Path) -> list[LabelledRow]:
    """Return the rows of a table; none if it has no labels, but captions for instance.

    Raises:
        RequestError: If it cannot be read or is too large, or a row lacks something, leads out of
            the folder or contradicts another.
    """
    rows: dict[str, LabelledRow] = {}
    columns: list[str] | None = None
    for line, fields in _rows(path):
        where = f"{path} line {line}"
        has = ["label"] * any(name in fields for name in _LABELS) + [_SPLIT] * (_SPLIT in fields)
        columns = has if columns is None else columns
        if has != columns:
            name = next(iter(set(has) ^ set(columns)))
            lacks = "no" if name in columns else "a"
            raise RequestError(
                f"{where} has {lacks} {name}, unlike the lines before",
                f"every line needs one {name}",
            )
        if "label" not in has:
            if path.suffix == ".csv":
                return []
            continue
        row = _labelled(fields, where)
        if rows.setdefault(row.file, row) != row:
            raise RequestError(
                f"{where} gives {row.file!r} another class or split than a line before",
                "an image has one; remove the wrong line",
            )
    return list(rows.values())


def _labelled(fields: dict[str, Any], where: str) -> LabelledRow:
    label = next((fields[name] for name in _LABELS if name in fields), None)
    file = _text(fields.get(_FILE), _FILE, where).replace("\\", "/")
    place = PurePosixPath(file)
    if place.is_absolute() or ".." in place.parts:
        raise RequestError(f"{where}: {file[:100]!r} leads out of the folder", "mend the line")
    split = _text(fields[_SPLIT], _SPLIT, where) if _SPLIT in fields else ""
    return LabelledRow(composed(str(place)), composed(_text(label, "label", where)), split)


def _text(value: object, name: str, where: str) -> str:
    """Return a field's text; of a whole number, its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        given = f" that is a text, but {value!r:.50}" if value else ""
        raise RequestError(f"{where} has no {name}{given}", f"every line needs one {name}")
    return value.strip()


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a table's lines by number, with the names of the columns in lower case."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RequestError(f"{path} is larger than {MAX_BYTES >> 20} MiB", "split the folder")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{path} is not UTF-8", "convert it; if it is Latin-1: iconv -f latin1 -t utf-8"
        ) from error
    read = _csv if path.suffix == ".csv" else _jsonl
    for line, row in read(text, path):
        fields = {str(name).strip().lower(): value for name, value in row.items()}
        if len(fields) < len(row):
            raise RequestError(f"{path} line {line} has a name twice", "an image has one of each")
        yield line, fields


def _csv(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    header = text.partition("\n")[0]
    mark = max(_SEPARATORS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if _FILE not in names or len(set(names)) < len(names):
        shown = ", ".join(names)[:200]
        raise RequestError(
            f"{path} has the columns {shown!r}", "it needs file_name and label, each once"
        )
    try:
        for row in reader:
            if None in row:
                raise RequestError(
                    f"{path} line {reader.line_num} has more fields than the header",
                    f"put quotes around what holds {mark!r}",
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise RequestError(f"{path} is not CSV after line {reader.line_num}: {error}") from error


def _jsonl(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{path} line {line} is not JSON") from error
        if not isinstance(row, dict):
            raise RequestError(f"{path} line {line} is not a JSON object")
        yield line, row
