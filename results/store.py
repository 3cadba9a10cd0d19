"""The results database: one DuckDB file, rebuilt from the runs' records, which are the truth."""

import glob
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import msgspec
import polars as pl

from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.core.records import RunRecord
from results.protocols import Judged, evaluator_labels
from results.queries import VIEWS
from results.rows import run_row, score_rows, stage_count_rows
from results.variants import labels

T = TypeVar("T")

_KNOWN_SCHEMA = 1

_TABLES = """
CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY, status VARCHAR, error VARCHAR,
    preset VARCHAR, task VARCHAR, source VARCHAR, label VARCHAR, options JSON, n_asked BIGINT,
    seed BIGINT, image_order VARCHAR, variant JSON, model VARCHAR, judged_by VARCHAR,
    objective VARCHAR,
    lr DOUBLE, epochs BIGINT, batch_size BIGINT, train JSON, evaluators JSON,
    n_matched BIGINT, n_fetched BIGINT, n_kept BIGINT, n_used BIGINT, image_set VARCHAR,
    selection JSON, fidelity JSON, timings JSON, images_per_second DOUBLE, peak_memory_mb DOUBLE,
    device VARCHAR, weights VARCHAR, git_commit VARCHAR, git_dirty BOOLEAN, versions JSON,
    started VARCHAR, finished VARCHAR);
CREATE TABLE scores (
    run_id VARCHAR, evaluator VARCHAR, split VARCHAR, metric VARCHAR, value DOUBLE, n BIGINT,
    ci_low DOUBLE, ci_high DOUBLE, chosen JSON, draws JSON);
CREATE TABLE stage_counts (run_id VARCHAR, stage VARCHAR, counter VARCHAR, value DOUBLE);
CREATE TABLE predictions (
    run_id VARCHAR, evaluator VARCHAR, split VARCHAR, key VARCHAR, label BIGINT, predicted BIGINT);
"""
_JUDGES = {"run_id": pl.String, "evaluator": pl.String, "label": pl.String}
_INSERTS = {
    "runs": "INSERT INTO runs BY NAME SELECT * FROM incoming",
    "scores": "INSERT INTO scores BY NAME SELECT * FROM incoming",
    "stage_counts": "INSERT INTO stage_counts BY NAME SELECT * FROM incoming",
}
_PREDICTIONS = """
INSERT INTO predictions
SELECT run_id, coalesce(judges.label, evaluator), split, key, own.label, predicted
FROM (
    SELECT *, parse_path(filename)[-2] AS run_id FROM read_parquet($paths, filename = true)
) AS own
LEFT JOIN judges USING (run_id, evaluator)
"""


@dataclass(frozen=True)
class Collected:
    """What a rebuild of the database found.

    Attributes:
        database: The new file.
        read: Records in it.
        skipped: One line per file that was left out, with the reason.
    """

    database: Path
    read: int
    skipped: list[str]


def collect(home: Home) -> Collected:
    """Rebuild the database from every record; readers see the old file or the new one.

    Raises:
        BenchError: If there is no record, or the database cannot be written.
    """
    paths = sorted(home.runs.glob("*/record.json"))
    if not paths:
        raise BenchError(
            f"no records in {home.runs}", "run `bench demo` for a first study, or set BENCH_HOME"
        )
    try:
        with tempfile.TemporaryDirectory(dir=home.root, prefix=".collect-") as folder:
            fresh = Path(folder) / home.database.name
            read, skipped = _build(fresh, paths)
            # A write-ahead log that somebody's own session left would be replayed onto our file.
            home.database.with_name(f"{home.database.name}.wal").unlink(missing_ok=True)
            fresh.replace(home.database)
    except (OSError, duckdb.IOException) as error:
        raise BenchError(
            f"cannot write {home.database}: {error}", "make room, or set BENCH_HOME elsewhere"
        ) from error
    return Collected(home.database, read, skipped)


@contextmanager
def reading(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the database for reading; any number of readers may.

    Raises:
        BenchError: If it has not been built.
    """
    if not home.database.is_file():
        raise BenchError(f"there is no database {home.database}", "build it with `bench collect`")
    with duckdb.connect(home.database, read_only=True) as connection:
        yield connection


def _build(database: Path, paths: Sequence[Path]) -> tuple[int, list[str]]:
    found: dict[Path, RunRecord] = {}
    skipped: list[tuple[Path, str]] = []
    for path in paths:
        try:
            found[path] = _read(path)
        except (OSError, ValueError, RecursionError) as error:
            skipped.append((path, str(error)))
    # Tables have no order; not keeping one makes loading parallel.
    with duckdb.connect(database, config={"preserve_insertion_order": False}) as connection:
        connection.execute(_TABLES)
        names, judges = labels(found.values()), evaluator_labels(found.values())
        refused = _insert(
            list(found),
            lambda some: _insert_records(connection, [found[path] for path in some], names, judges),
        )
        accepted = found.keys() - {path for path, _ in refused}
        rows = [(run_id, evaluator, label) for (run_id, evaluator), label in judges.items()]
        connection.register("judges", pl.DataFrame(rows, _JUDGES, orient="row"))
        predictions = [path.with_name("predictions.parquet") for path in sorted(accepted)]
        skipped += refused + _insert(
            [path for path in predictions if path.is_file()],
            lambda some: _insert_predictions(connection, some),
        )
        connection.execute(VIEWS)
    return len(accepted), [f"{path}: {' '.join(reason.split())}" for path, reason in skipped]


def _read(path: Path) -> RunRecord:
    """Return a record; raises ValueError (msgspec's errors are ones) if it is none of ours."""
    content = path.read_bytes()
    header = msgspec.json.decode(content)
    if not isinstance(header, dict):
        raise ValueError("not a record")
    schema = header.get("schema_version", _KNOWN_SCHEMA)
    if schema != _KNOWN_SCHEMA:
        raise ValueError(f"has schema {schema}, this program reads {_KNOWN_SCHEMA}; update it")
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


def _insert_records(
    connection: duckdb.DuckDBPyConnection,
    records: list[RunRecord],
    names: dict[str, str],
    judges: dict[Judged, str],
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "runs": [run_row(record, names[record.run_id]) for record in records],
        "scores": [row for record in records for row in score_rows(record, judges)],
        "stage_counts": [row for record in records for row in stage_count_rows(record)],
    }
    frames = {
        table: pl.DataFrame(some, infer_schema_length=None) for table, some in rows.items() if some
    }
    with connection.cursor() as cursor:
        cursor.begin()
        for table, frame in frames.items():
            cursor.register("incoming", frame)
            cursor.execute(_INSERTS[table])
        cursor.commit()


def _insert_predictions(connection: duckdb.DuckDBPyConnection, paths: list[Path]) -> None:
    # DuckDB reads a path as a pattern, and a home folder may be called anything.
    connection.execute(_PREDICTIONS, {"paths": [glob.escape(str(path)) for path in paths]})
