"""Bring a database up to date with the records: what changed is read, the rest stays."""

from __future__ import annotations

import gc
import glob
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb
import polars as pl

from bench.core.records import RunRecord
from results.database import files
from results.database.files import Stamp, UnreadableError, read_record, run_of
from results.database.names import rename
from results.database.program import program
from results.database.rows import frames
from results.database.statements import relations, schema, statement

T = TypeVar("T")
Connection = duckdb.DuckDBPyConnection

_BATCH = 1000
"""Records that are in memory at once."""


class State(NamedTuple):
    """What a database is made of.

    Attributes:
        settings: How often the setting of an arm was chosen.
        stamps: Its files, by their paths below the folder of runs.
        problems: Path to reason of those that were left out.
        selected: Ids of the runs whose predictions it has.
    """

    settings: str
    stamps: dict[str, Stamp]
    problems: dict[str, str]
    selected: frozenset[str]

    @classmethod
    def of(cls, connection: Connection) -> State:
        """Return the state of a database that this program made; of any other raises an error."""
        rows = connection.execute(statement("files")).fetchall()
        ((settings,),) = connection.execute(statement("settings_rule")).fetchall()
        selected = connection.execute(statement("selected_ids")).fetchall()
        return cls(
            settings=settings,
            stamps={path: Stamp(modified, size) for path, modified, size, _ in rows},
            problems={path: problem for path, *_, problem in rows if problem is not None},
            selected=frozenset(run_id for (run_id,) in selected),
        )

    @property
    def read(self) -> int:
        """Number of records that were not left out."""
        paths = self.stamps.keys() - self.problems.keys()
        return sum(path.endswith(files.RECORD) for path in paths)

    def skipped(self, runs: Path) -> list[str]:
        """Return a line per file that was left out, with the reason."""
        return [f"{runs / path}: {self.problems[path]}" for path in sorted(self.problems)]

    def is_current(self, runs: Path, records: dict[str, Stamp], settings: str) -> bool:
        """Return whether nothing changed since."""
        there = records | files.predictions(runs, self.selected)
        return self.settings == settings and self.stamps == there


def is_ours(connection: Connection) -> bool:
    """Return whether this program, as it is now, made a database."""
    there = {name for (name,) in connection.execute(statement("relations")).fetchall()}
    made_by = statement("made_by")
    return there >= relations() and connection.execute(made_by).fetchall() == [(program(),)]


def update(connection: Connection, runs: Path, records: dict[str, Stamp], settings: str) -> None:
    """Bring a database up to date.

    Args:
        connection: The database, which nobody else sees; an empty one is filled.
        runs: The folder of runs.
        records: The records that are in it, from `results.database.files.records`.
        settings: How often the setting of an arm is chosen.
    """
    if is_ours(connection):
        state = State.of(connection)
    else:
        connection.execute(schema("tables"))
        connection.execute(statement("insert_made_by"), {"program": program()})
        state = State(settings, {}, {}, frozenset())
    known = {path: stamp for path, stamp in state.stamps.items() if path.endswith(files.RECORD)}
    _forget(connection, _changed(known, records), ("runs", "scores"))
    _read_records(connection, runs, {p: s for p, s in records.items() if known.get(p) != s})
    for table in ("specs", "counts"):
        connection.execute(statement(f"delete_{table}"))
    rename(connection)
    connection.execute(statement("clear_asked_for"))
    connection.execute(statement("insert_asked_for"), {"settings": settings})
    connection.execute(schema("selection"))
    _update_predictions(connection, runs, state)


def _update_predictions(connection: Connection, runs: Path, state: State) -> None:
    known = {p: stamp for p, stamp in state.stamps.items() if p.endswith(files.PREDICTIONS)}
    selected = connection.execute(statement("selected_ids")).fetchall()
    there = files.predictions(runs, (run_id for (run_id,) in selected))
    _forget(connection, _changed(known, there), ("predictions",))
    wanted = {path: stamp for path, stamp in there.items() if known.get(path) != stamp}
    problems = dict(_insert(list(wanted), lambda some: _insert_predictions(connection, runs, some)))
    stamps = {
        path: files.NEVER if problems.get(path, "").startswith("IO Error") else stamp
        for path, stamp in wanted.items()
    }
    _note(connection, stamps, problems | _drop_short(connection))


def _drop_short(connection: Connection) -> dict[str, str]:
    """Delete predictions that are not of every image scored, and return the files with reasons.

    Runs are compared on the images that all answered: one torn file would take the others' too.
    """
    short = connection.execute(statement("short_predictions")).fetchall()
    for run_id, *_ in short:
        connection.execute(statement("delete_predictions_of"), {"run_id": run_id})
    return {
        f"{run_id}/{files.PREDICTIONS}": f"has {images:,} of the {scored:,} images of {evaluator}"
        for run_id, evaluator, images, scored in short
    }


def _changed(known: dict[str, Stamp], there: dict[str, Stamp]) -> list[str]:
    """Return the paths of known files that are gone or changed."""
    return [path for path, stamp in known.items() if there.get(path) != stamp]


def _forget(connection: Connection, paths: Sequence[str], tables: Iterable[str]) -> None:
    """Delete files and what some tables have of their runs."""
    if not paths:
        return
    outgoing = pl.DataFrame({"path": paths, "run_id": [run_of(path) for path in paths]})
    connection.register("outgoing", outgoing)
    for table in ("files", *tables):
        connection.execute(statement(f"delete_{table}"))


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Keep Python from looking for garbage in records, where it took two thirds of the reading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_no_search_for_cycles()
def _read_records(connection: Connection, runs: Path, paths: dict[str, Stamp]) -> None:
    names = list(paths)
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        read, problems, unopened = _read(runs, some)

        def insert(part: list[str], read: dict[str, RunRecord] = read) -> None:
            _insert_records(connection, [read[path] for path in part])

        refused = _insert(list(read), insert)
        stamps = {path: files.NEVER if path in unopened else paths[path] for path in some}
        _note(connection, stamps, problems | dict(refused))


def _read(runs: Path, paths: list[str]) -> tuple[dict[str, RunRecord], dict[str, str], set[str]]:
    """Return the records, why others are left out, and which of these could not be opened."""
    read: dict[str, RunRecord] = {}
    problems: dict[str, str] = {}
    unopened: set[str] = set()
    for path in paths:
        try:
            read[path] = read_record(runs / path)
        except (OSError, UnreadableError) as error:
            problems[path] = str(error)
            if isinstance(error, OSError):
                unopened.add(path)
    return read, problems, unopened


def _note(connection: Connection, stamps: dict[str, Stamp], problems: dict[str, str]) -> None:
    """Note which files were read, and why some were left out, a line each."""
    if not stamps:
        return
    rows = {
        "path": list(stamps),
        "modified": [stamp.modified for stamp in stamps.values()],
        "bytes": [stamp.bytes for stamp in stamps.values()],
        "problem": [" ".join(problems[p].split()) if p in problems else None for p in stamps],
    }
    connection.register("incoming", pl.DataFrame(rows))
    connection.execute(statement("insert_files"))


def _insert(items: list[T], insert: Callable[[list[T]], None]) -> list[tuple[T, str]]:
    """Insert in bulk; on failure halve until the culprits stand alone, and return them."""
    if not items:
        return []
    try:
        insert(items)
    except (duckdb.Error, pl.exceptions.PolarsError, OverflowError) as error:
        if _is_of_the_disk(error):
            raise duckdb.IOException(str(error)) from error
        if len(items) == 1:
            # What follows the first line is the statement.
            return [(items[0], str(error).partition("\n")[0])]
        middle = len(items) // 2
        return _insert(items[:middle], insert) + _insert(items[middle:], insert)
    return []


def _is_of_the_disk(error: Exception) -> bool:
    """Return whether an insertion failed for want of room, not for what was to be inserted."""
    told = ("No space left", "Failed to commit", "disk quota")
    of_memory = (duckdb.FatalException, duckdb.OutOfMemoryException)
    return isinstance(error, of_memory) or any(text in str(error) for text in told)


def _insert_records(connection: Connection, records: Collection[RunRecord]) -> None:
    tables = frames(list(records))
    with connection.cursor() as cursor:
        cursor.begin()
        for table, rows in tables.items():
            if not rows.is_empty():
                cursor.register("incoming", rows)
                cursor.execute(statement(f"insert_{table}"))
        cursor.commit()


def _insert_predictions(connection: Connection, runs: Path, paths: list[str]) -> None:
    # DuckDB reads a path as a pattern, and a home folder may be called anything.
    parameters = {"paths": [glob.escape(str(runs / path)) for path in paths]}
    connection.execute(statement("insert_predictions"), parameters)
