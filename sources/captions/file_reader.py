"""Reading captions that somebody else wrote: bounded, and checked line by line."""

import csv
import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import ArrowException

from bench.core.errors import RequestError, unknown_name
from bench.core.task import NO_LABEL, Task
from bench.plugins.captions import Caption
from sources.captions.check import form_fault
from sources.captions.columns import check_columns, known_columns, separator_of

MAX_BYTES = 2**31
"""Bytes of a file, unpacked."""
MAX_ROWS = 10_000_000
MAX_LINE = 100_000
"""Characters of one line, other columns included."""

KIND = "own"

_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")

_Row = dict[str, Any]


def read_captions(path: Path, task: Task, *, labelled: bool = True) -> list[Caption]:
    """Return the captions of a file.

    Args:
        path: A ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file in UTF-8, or in UTF-16 with its
            mark, or a ``.parquet`` file, with the columns ``caption`` and ``class`` (a class name)
            or ``label`` (its index). Others are ignored. Fields are separated by commas,
            semicolons, tabs or bars.
        task: The task whose classes the captions are about.
        labelled: Whether they are about classes at all; if not, a column ``caption`` is enough, and
            unfit captions are among those returned, a null as an empty one.

    Raises:
        RequestError: If it cannot be read, is too large or empty, or a line is not as it must be.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        packed = path.suffix.lower() in _PACKED
        fix = "unpack it" if packed else f"give {', '.join(_READERS)}"
        raise RequestError(f"{path} is not a caption file", fix)
    captions = []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RequestError(f"{path} is larger than {MAX_BYTES >> 30} GiB", "split it")
        for line, row in read(path, labelled):
            captions.append(_caption(row, task if labelled else None, f"{path} line {line}"))
            if len(captions) > MAX_ROWS:
                raise RequestError(f"{path} has more than {MAX_ROWS:,} captions", "split it")
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{path} line {len(captions) + 1} or later is not UTF-8",
            "convert it; if it is Latin-1: iconv -f latin1 -t utf-8 FILE > NEW",
        ) from error
    if not captions:
        raise RequestError(f"{path} has no captions", "give it a line for each")
    return captions


def _caption(row: _Row, task: Task | None, where: str) -> Caption:
    text = row.get("caption")
    # Millions of lines of the web have unfit ones and nulls, which are given up and counted later.
    if task is None and text is None and "caption" in row:
        text = ""
    if not isinstance(text, str):
        raise RequestError(f"{where} has no caption", "every line needs one, as text")
    text = " ".join(text.split())
    if task is not None and (fault := form_fault(text)):
        raise RequestError(f"{where}: the caption is unfit: {fault}", "mend or remove the line")
    return Caption(NO_LABEL if task is None else _label(row, task, where), KIND, text)


def _label(row: _Row, task: Task, where: str) -> int:
    name, label = row.get("class"), row.get("label")
    if isinstance(name, str) and name.strip():
        known = task.label(name.strip())
        if known is None:
            raise unknown_name(f"class in {where}:", name.strip()[:100], task.class_names)
        return known
    if isinstance(label, str) and label.strip().isdecimal() and len(label) < 10:
        label = int(label)
    if isinstance(label, int) and not isinstance(label, bool):
        if 0 <= label < len(task.class_names):
            return label
        raise RequestError(
            f"{where}: label {label} is none of the task's",
            f"labels go from 0 to {len(task.class_names) - 1}",
        )
    given = [f"{key} {value!r:.50}" for key, value in (("class", name), ("label", label)) if value]
    raise RequestError(
        f"{where} has neither a class nor a label" + (f", but {', '.join(given)}" if given else ""),
        "every line needs one of them: a class's name, or its index as a whole number",
    )


def _csv(path: Path, labelled: bool) -> Iterator[tuple[int, _Row]]:
    with path.open(encoding=_encoding(path), newline="") as stream:
        lines = _bounded(stream, path)
        header = next(lines, "")
        if not header.strip():
            raise RequestError(f"{path} has no captions", "its first line names the columns")
        if header.lstrip().startswith("{"):
            raise RequestError(f"{path} is not CSV but JSON Lines", "name it .jsonl")
        line = 1
        try:
            with _naming(path):
                mark = separator_of(header, labelled=labelled)
            reader = csv.reader(chain([header], lines), delimiter=mark, strict=True)
            names = next(reader)
            with _naming(path):
                columns = check_columns(names, labelled=labelled)
            for fields in reader:
                line = reader.line_num
                if len(fields) > len(names):
                    raise RequestError(
                        f"{path} line {line} has {len(fields)} fields, its header {len(names)}",
                        f"put quotes around a caption that holds {mark!r}",
                    )
                if fields:
                    row = zip(names, fields, strict=False)  # The last ones may lack.
                    yield line, {columns.get(name, name): text for name, text in row}
        except csv.Error as error:
            raise RequestError(f"{path} is not CSV after line {line}: {error}") from error


def _encoding(path: Path) -> str:
    """Return UTF-16 for a file that begins with its byte order mark, else UTF-8."""
    with path.open("rb") as stream:
        start = stream.read(2)
    return "utf-16" if start in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"


@contextmanager
def _naming(where: object) -> Iterator[None]:
    """Say of a wrong request in which file, or where in it, it is."""
    try:
        yield
    except RequestError as error:
        raise RequestError(f"{where}: {error.what}", error.fix) from error


def _jsonl(path: Path, _: bool) -> Iterator[tuple[int, _Row]]:
    with path.open(encoding=_encoding(path)) as stream:
        for line, text in enumerate(_bounded(stream, path), 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise RequestError(f"{path} line {line} is not JSON") from error
            if not isinstance(row, dict):
                raise RequestError(f"{path} line {line} is not a JSON object")
            yield line, _renamed(row, f"{path} line {line}")


def _renamed(row: _Row, where: str) -> _Row:
    with _naming(where):
        columns = known_columns(list(row))
    return {columns.get(name, name): value for name, value in row.items()}


def _bounded(stream: Any, path: Path) -> Iterator[str]:  # noqa: ANN401 (an open text file)
    number = 0
    while text := stream.readline(MAX_LINE + 1):
        number += 1
        if len(text) > MAX_LINE:
            raise RequestError(f"{path} line {number} is longer than {MAX_LINE} characters")
        yield text


def _parquet(path: Path, labelled: bool) -> Iterator[tuple[int, _Row]]:
    try:
        with pq.ParquetFile(path) as file:
            with _naming(path):
                columns = check_columns(file.schema_arrow.names, labelled=labelled)
            groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > MAX_BYTES:
                raise RequestError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB", "split it")
            line = 0
            # Few at once: a small file may name one huge text a million times.
            for batch in file.iter_batches(batch_size=256, columns=list(columns)):
                for row in batch.to_pylist():
                    line += 1
                    yield line, {columns[name]: value for name, value in row.items()}
    except ArrowException as error:
        raise RequestError(f"{path} is not Parquet: {error}") from error


_READERS: dict[str, Callable[[Path, bool], Iterator[tuple[int, _Row]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
