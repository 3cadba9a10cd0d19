"""The files that the database is made of, and whether they changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from bench.core.records import RunRecord, SchemaVersion

RECORD, PREDICTIONS = "record.json", "predictions.parquet"

(_SCHEMA_VERSION,) = get_args(SchemaVersion)
_DECODER = msgspec.json.Decoder(RunRecord)


class Stamp(NamedTuple):
    """When a file, or who may read it, last changed, in nanoseconds, and its size in bytes."""

    modified: int
    bytes: int


NEVER = Stamp(0, 0)
"""The stamp of a file that could not be opened: it is tried again."""


class UnreadableError(ValueError):
    """Why a record is none of ours."""


def records(runs: Path) -> dict[str, Stamp]:
    """Return the records below the folder of runs, by their paths in it."""
    try:
        names = sorted(path.name for path in runs.iterdir())
    except FileNotFoundError:
        return {}
    return _stamps(runs, (f"{name}/{RECORD}" for name in names))


def predictions(runs: Path, run_ids: Iterable[str]) -> dict[str, Stamp]:
    """Return the files of predictions of some runs, by their paths below the folder of runs."""
    return _stamps(runs, (f"{run_id}/{PREDICTIONS}" for run_id in sorted(run_ids)))


def run_of(path: str) -> str:
    """Return the run that a file is of, given its path below the folder of runs."""
    return path.partition("/")[0]


def read_record(path: Path) -> RunRecord:
    """Return a record.

    Raises:
        OSError: If it cannot be read.
        UnreadableError: If it is none of ours.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UnreadableError("is no file")  # A pipe would be waited for.
    content = path.read_bytes()
    try:
        record = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnreadableError(_version_of(content) or str(error)) from error
    if record.run_id != path.parent.name:
        raise UnreadableError(f"is of run {record.run_id}; its folder was copied or renamed")
    return record


def _version_of(content: bytes) -> str:
    """Return what to do about a record of another version; empty for any other content."""
    try:
        version = msgspec.json.decode(content, type=_Header).schema_version
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    if version == _SCHEMA_VERSION:
        return ""
    advice = "repeat its run" if version < _SCHEMA_VERSION else "update this program"
    return f"has schema {version}, not {_SCHEMA_VERSION}: {advice}"


class _Header(msgspec.Struct):
    schema_version: int = _SCHEMA_VERSION


def _stamps(folder: Path, paths: Iterable[str]) -> dict[str, Stamp]:
    stamps = {}
    for path in paths:
        try:
            found = (folder / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        stamps[path] = Stamp(max(found.st_mtime_ns, found.st_ctime_ns), found.st_size)
    return stamps
