"""The results database: one DuckDB file, rebuilt from the runs' records, which are the truth."""

from __future__ import annotations

import errno
import glob
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import duckdb
import msgspec
import polars as pl

from bench.core.errors import BenchError, RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.records import RunRecord, SchemaVersion
from results.database.rows import run_row, score_rows, stage_count_rows
from results.database.statements import schema, statement
from results.labels import ScoredAs, evaluator_labels, labels, objective_labels
from results.settings import settings as settings_of
from results.tasks import task_names

T = TypeVar("T")
Connection = duckdb.DuckDBPyConnection

(_SCHEMA_VERSION,) = get_args(SchemaVersion)
_EVALUATOR_LABELS = {"run_id": pl.String, "evaluator": pl.String, "label": pl.String}


Choice = Literal["once", "per-n"]
"""How often the setting of an arm is chosen."""


@dataclass(frozen=True)
class _Names:
    """What depends on all records together: run id to labels and to setting; evaluators' labels."""

    of_run: dict[str, str]
    of_objective: dict[str, str]
    settings: dict[str, Json]
    of_evaluator: dict[ScoredAs, str]

    @classmethod
    def of(cls, records: Collection[RunRecord]) -> _Names:
        return cls(
            of_run=labels(records),
            of_objective=objective_labels(records),
            settings=settings_of(records),
            of_evaluator=evaluator_labels(records),
        )


@dataclass(frozen=True)
class Collected:
    """A rebuilt database.

    Attributes:
        database: The new file.
        read: Records in it.
        skipped: One line per file that was left out, with the reason.
    """

    database: Path
    read: int
    skipped: list[str]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open it for reading."""
        with duckdb.connect(self.database, read_only=True) as connection:
            yield connection


def collect(home: Home, settings: Choice = "once", elsewhere: Path | None = None) -> Collected:
    """Rebuild the database from every record; readers see the old file or the new one.

    Args:
        home: Where the records are.
        settings: Whether the setting of an arm is chosen once, by the mean over all n, or at each
            n.
        elsewhere: The folder for the database of a home that cannot be written to, which may be
            somebody else's; None refuses such a home.

    Raises:
        RequestError: If the home may only be read.
        BenchError: If there is no record, or the database cannot be written.
    """
    paths = sorted(home.runs.glob("*/record.json"))
    if not paths:
        raise BenchError(
            f"no records in {home.runs}", "run `bench demo` for a first study, or set BENCH_HOME"
        )
    try:
        return _rebuilt(home.database, paths, settings)
    except (OSError, duckdb.IOException) as error:
        if elsewhere is None:
            raise _not_written(home.database, error) from error
    database = elsewhere / home.database.name
    try:
        return _rebuilt(database, paths, settings)
    except (OSError, duckdb.IOException) as error:
        raise _not_written(database, error) from error


def _rebuilt(database: Path, paths: Sequence[Path], settings: Choice) -> Collected:
    """Return a database that took its final name when it was whole; raises what writing does."""
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".collect-") as folder:
        rebuilt = Path(folder) / database.name
        read, skipped = _build(rebuilt, paths, settings)
        # A write-ahead log that somebody's own session left would be replayed onto our file.
        database.with_name(f"{database.name}.wal").unlink(missing_ok=True)
        rebuilt.replace(database)
    return Collected(database, read, skipped)


def _not_written(database: Path, error: Exception) -> BenchError:
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RequestError(
            f"{database.parent} may only be read",
            "`bench report --out DIR` and `bench export --out FILE` work without writing there",
        )
    return BenchError(
        f"cannot write {database}: {error}",
        "make room; or `bench report --out DIR`, which writes elsewhere",
    )


@contextmanager
def reading(home: Home) -> Iterator[Connection]:
    """Open the database for reading; any number of readers may.

    Raises:
        BenchError: If it has not been built.
    """
    if not home.database.is_file():
        raise BenchError(f"there is no database {home.database}", "build it with `bench collect`")
    with duckdb.connect(home.database, read_only=True) as connection:
        yield connection


def _build(database: Path, paths: Sequence[Path], settings: Choice) -> tuple[int, list[str]]:
    records: dict[Path, RunRecord] = {}
    skipped: list[tuple[Path, str]] = []
    for path in paths:
        try:
            records[path] = _read(path)
        except (OSError, ValueError, RecursionError) as error:
            skipped.append((path, str(error)))
    places, records = _with_task_names(records)
    # Tables have no order; not keeping one makes loading parallel.
    with duckdb.connect(database, config={"preserve_insertion_order": False}) as connection:
        connection.execute(schema("tables"))
        connection.execute(statement("insert_asked_for"), {"settings": settings})
        connection.executemany(statement("insert_tasks"), list(places.items()))
        names = _Names.of(records.values())
        refused = _insert(
            list(records),
            lambda some: _insert_records(connection, [records[path] for path in some], names),
        )
        accepted = records.keys() - {path for path, _ in refused}
        rows = [(*scored_as, label) for scored_as, label in names.of_evaluator.items()]
        renamed = pl.DataFrame(rows, _EVALUATOR_LABELS, orient="row")
        connection.register("evaluator_labels", renamed)
        predictions = [path.with_name("predictions.parquet") for path in sorted(accepted)]
        skipped += refused + _insert(
            [path for path in predictions if path.is_file()],
            lambda some: _insert_predictions(connection, some),
        )
        connection.execute(schema("selection"))
    return len(accepted), [f"{path}: {' '.join(reason.split())}" for path, reason in skipped]


def _with_task_names(
    records: dict[Path, RunRecord],
) -> tuple[dict[str, str], dict[Path, RunRecord]]:
    """Return the tasks' names to where each was last, and the records with these names."""
    names = task_names(records.values())
    places, named = {}, {}
    for path, record in sorted(records.items(), key=lambda each: each[1].started):
        name = names[record.spec.task]
        places[name] = record.spec.task
        spec = msgspec.structs.replace(record.spec, task=name)
        named[path] = msgspec.structs.replace(record, spec=spec)
    return places, {path: named[path] for path in records}


def _read(path: Path) -> RunRecord:
    """Return a record; raises ValueError (msgspec's errors are ones) if it is none of ours."""
    content = path.read_bytes()
    header = msgspec.json.decode(content)
    if not isinstance(header, dict):
        raise ValueError("not a record")
    version = header.get("schema_version", _SCHEMA_VERSION)
    if version != _SCHEMA_VERSION:
        older = isinstance(version, int) and version < _SCHEMA_VERSION
        advice = "repeat its run" if older else "update this program"
        raise ValueError(f"has schema {version}, not {_SCHEMA_VERSION}: {advice}")
    record = msgspec.json.decode(content, type=RunRecord)
    if record.run_id != path.parent.name:
        raise ValueError(f"is of run {record.run_id}; its folder was copied or renamed")
    return record


def _insert(items: list[T], insert: Callable[[list[T]], None]) -> list[tuple[T, str]]:
    """Insert in bulk; on failure halve until the culprits stand alone, and return them."""
    if not items:
        return []
    try:
        insert(items)
    except (duckdb.Error, pl.exceptions.PolarsError, OverflowError) as error:
        if len(items) == 1:
            return [(items[0], str(error))]
        middle = len(items) // 2
        return _insert(items[:middle], insert) + _insert(items[middle:], insert)
    return []


def _insert_records(connection: Connection, records: list[RunRecord], names: _Names) -> None:
    of_run, of_objective, settings = names.of_run, names.of_objective, names.settings
    rows: dict[str, list[dict[str, Any]]] = {
        "runs": [
            run_row(
                record, of_run[record.run_id], of_objective[record.run_id], settings[record.run_id]
            )
            for record in records
        ],
        "scores": [row for record in records for row in score_rows(record, names.of_evaluator)],
        "stage_counts": [row for record in records for row in stage_count_rows(record)],
    }
    frames = {
        table: pl.DataFrame(some, infer_schema_length=None) for table, some in rows.items() if some
    }
    with connection.cursor() as cursor:
        cursor.begin()
        for table, frame in frames.items():
            cursor.register("incoming", frame)
            cursor.execute(statement(f"insert_{table}"))
        cursor.commit()


def _insert_predictions(connection: Connection, paths: list[Path]) -> None:
    # DuckDB reads a path as a pattern, and a home folder may be called anything.
    parameters = {"paths": [glob.escape(str(path)) for path in paths]}
    connection.execute(statement("insert_predictions"), parameters)
