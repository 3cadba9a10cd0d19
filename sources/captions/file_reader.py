"""Reading captions that somebody else wrote: bounded, and checked line by line."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import ArrowException

from bench.core.errors import RequestError, unknown_name
from bench.core.task import Task
from bench.plugins.captions import Caption
from sources.captions.check import form_fault

MAX_BYTES = 2**31
"""Bytes of a file, unpacked."""
MAX_ROWS = 10_000_000
MAX_LINE = 100_000
"""Characters of one line, other columns included."""

KIND = "own"

_Row = dict[str, Any]


def read_captions(path: Path, task: Task) -> list[Caption]:
    """Return the captions of a file.

    Args:
        path: A ``.csv`` or ``.jsonl`` file in UTF-8, or a ``.parquet`` file, with the columns
            ``caption`` and ``class`` (a class name) or ``label`` (its index). Others are ignored.
        task: The task whose classes the captions are about.

    Raises:
        RequestError: If it cannot be read, is too large or empty, or a line is not as it must be.
    """
    if path.suffix not in _READERS:
        raise RequestError(f"{path} is not a caption file", f"give {', '.join(_READERS)}")
    captions = []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RequestError(f"{path} is larger than {MAX_BYTES >> 30} GiB", "split it")
        for line, row in _READERS[path.suffix](path):
            captions.append(_caption(row, task, f"{path} line {line}"))
            if len(captions) > MAX_ROWS:
                raise RequestError(f"{path} has more than {MAX_ROWS:,} captions", "split it")
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} line {len(captions) + 1} or later is not UTF-8") from error
    if not captions:
        raise RequestError(f"{path} has no captions", "give it a line for each")
    return captions


def _caption(row: _Row, task: Task, where: str) -> Caption:
    text = row.get("caption")
    if not isinstance(text, str):
        raise RequestError(f"{where} has no caption", "every line needs one, as text")
    text = " ".join(text.split())
    if fault := form_fault(text):
        raise RequestError(f"{where}: the caption is unfit: {fault}", "mend or remove the line")
    return Caption(_label(row, task, where), KIND, text)


def _label(row: _Row, task: Task, where: str) -> int:
    name, label = row.get("class"), row.get("label")
    if isinstance(name, str) and name.strip():
        if name.strip() not in task.class_names:
            raise unknown_name(f"class in {where}:", name.strip()[:100], task.class_names)
        return task.class_names.index(name.strip())
    if isinstance(label, str) and label.strip().isdecimal() and len(label) < 10:
        label = int(label)
    if isinstance(label, int) and not isinstance(label, bool):
        if 0 <= label < len(task.class_names):
            return label
        raise RequestError(
            f"{where}: label {label} is none of the task's",
            f"labels go from 0 to {len(task.class_names) - 1}",
        )
    raise RequestError(f"{where} has neither a class nor a label", "every line needs one of them")


def _csv(path: Path) -> Iterator[tuple[int, _Row]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(_bounded(stream, path), strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise RequestError(
                f"{path} is not CSV after line {reader.line_num}: {error}"
            ) from error


def _jsonl(path: Path) -> Iterator[tuple[int, _Row]]:
    with path.open(encoding="utf-8-sig") as stream:
        for line, text in enumerate(_bounded(stream, path), 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise RequestError(f"{path} line {line} is not JSON") from error
            if not isinstance(row, dict):
                raise RequestError(f"{path} line {line} is not a JSON object")
            yield line, row


def _bounded(stream: Any, path: Path) -> Iterator[str]:  # noqa: ANN401 (an open text file)
    number = 0
    while text := stream.readline(MAX_LINE + 1):
        number += 1
        if len(text) > MAX_LINE:
            raise RequestError(f"{path} line {number} is longer than {MAX_LINE} characters")
        yield text


def _parquet(path: Path) -> Iterator[tuple[int, _Row]]:
    try:
        with pq.ParquetFile(path) as file:
            wanted = [name for name in ("caption", "class", "label") if name in file.schema.names]
            groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > MAX_BYTES:
                raise RequestError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB", "split it")
            line = 0
            # Few at once: a small file may name one huge text a million times.
            for batch in file.iter_batches(batch_size=256, columns=wanted):
                for row in batch.to_pylist():
                    line += 1
                    yield line, row
    except ArrowException as error:
        raise RequestError(f"{path} is not Parquet: {error}") from error


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, _Row]]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
