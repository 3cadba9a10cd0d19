"""A database that is brought up to date is the one that a rebuild would make."""

import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from bench.core.paths import Home
from bench.core.records import RunRecord
from results.database import files, program, store
from tests.support.records import IMAGES, score, write_run

Change = tuple[str, int, int]

_TABLES = """
    SELECT schema_name, table_name FROM duckdb_tables() UNION ALL
    SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL
"""


def content(database: Path) -> dict[str, list[str]]:
    """Return the rows of every table and view, in one order."""
    with duckdb.connect(database, read_only=True) as connection:
        tables = connection.execute(_TABLES).fetchall()
        return {
            f"{schema}.{table}": sorted(
                map(str, connection.execute(f'FROM "{schema}"."{table}"').fetchall())
            )
            for schema, table in tables
        }


def assert_as_rebuilt(home: Home, choice: store.Choice) -> None:
    updated = store.collect(home, choice)
    found = content(updated.database)
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "aside"
        home.database.replace(aside)
        rebuilt = store.collect(home, choice)
        expected = content(rebuilt.database)
        assert (updated.read, updated.skipped) == (rebuilt.read, rebuilt.skipped)
        aside.replace(home.database)
    for table, rows in expected.items():
        assert found[table] == rows, table
    assert found.keys() == expected.keys()


def add(home: Home, which: int, value: int) -> None:
    """Add a run, or write another record of it: other scores, spellings of evaluators, places."""
    source = ("none", "retrieved", "synthetic")[which % 3]
    folder = f"/data/{which % 2}/planes"
    scores = [
        score(split, value / 10, name)
        for split in ("val", "test")
        for name in ("linear-probe", "knn")
    ]
    probe = {"solver": ("lbfgs", "adamw")[value % 2]}
    shutil.rmtree(home.runs / "new", ignore_errors=True)
    spare = Home(home.root / "spare")
    shutil.rmtree(spare.root, ignore_errors=True)
    record = write_run(
        spare, source, (100, 200)[which % 2] if source != "none" else 0, right=value * 10 + which,
        seed=which % 4, lr=(1e-3, 1e-4)[which % 2], task=folder, scores=scores,
        fingerprints={"task": "planes@1"}, evaluators={"linear-probe": probe, "knn": {}},
        stage_counts={"kept": value, "failed": {"http": which}}, started=f"2026-01-{value + 1:02}",
    )  # fmt: skip
    home.runs.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home.run(record.run_id), ignore_errors=True)
    shutil.move(spare.run(record.run_id), home.run(record.run_id))


def run_at(home: Home, which: int) -> Path | None:
    folders = sorted(home.runs.iterdir())
    return folders[which % len(folders)] if folders else None


def remove(home: Home, which: int, value: int) -> None:
    """Remove a run, its record or its predictions."""
    if (folder := run_at(home, which)) is None:
        return
    if value % 3 == 0:
        shutil.rmtree(folder)
    else:
        name = "record.json" if value % 3 == 1 else "predictions.parquet"
        (folder / name).unlink(missing_ok=True)


def corrupt(home: Home, which: int, value: int) -> None:
    """Cut a file, so that it cannot be read."""
    if (folder := run_at(home, which)) is not None:
        path = folder / ("record.json", "predictions.parquet")[value % 2]
        path.write_bytes(path.read_bytes()[: value * 10] if path.exists() else b"{")


def touch(home: Home, which: int, value: int) -> None:
    """Give a file another time."""
    if (folder := run_at(home, which)) is not None:
        path = folder / ("record.json", "predictions.parquet")[value % 2]
        if path.exists():
            os.utime(path, ns=(next(_CLOCK), next(_CLOCK)))


_CLOCK = count(1_000_000_000_000_000_000, 1_000)
CHANGES: dict[str, Callable[[Home, int, int], None]] = {
    "add": add, "remove": remove, "corrupt": corrupt, "touch": touch
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("value", range(3))
def test_an_update_after_one_change_is_a_rebuild(home: Home, name: str, value: int) -> None:
    for which in range(6):
        add(home, which, which)
    store.collect(home)
    CHANGES[name](home, 2, value)
    assert_as_rebuilt(home, "once")


@pytest.mark.slow(minutes=1)
@settings(max_examples=30)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "add", "add", "remove", "corrupt", "touch"]),
                st.integers(0, 12),
                st.integers(0, 9),
            ),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["once", "per-n"]),
)
def test_an_update_is_a_rebuild(rounds: list[list[Change]], choice: store.Choice) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home [1] *")
        for which in range(6):
            add(home, which, which)
        store.collect(home)
        for changes in rounds:
            for name, which, value in changes:
                CHANGES[name](home, which, value)
            if any(home.runs.glob("*/record.json")):
                assert_as_rebuilt(home, choice)


def test_nothing_new_leaves_the_file_alone(home: Home) -> None:
    for which in range(6):
        add(home, which, 5)
    store.collect(home)
    before = home.database.stat()
    again = store.collect(home)
    after = home.database.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert again.read == 6
    store.collect(home, "per-n")
    assert home.database.stat().st_ino != before.st_ino


def test_only_what_changed_is_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for which in range(6):
        add(home, which, 5)
    store.collect(home)
    added = write_run(home, "retrieved", 3200)
    read: list[Path] = []

    def noted(path: Path) -> RunRecord:
        read.append(path)
        return files.read_record(path)

    monkeypatch.setattr("results.database.update.read_record", noted)
    assert store.collect(home).read == 7
    assert read == [home.run(added.run_id) / "record.json"]


@pytest.mark.parametrize("kind", ["another program", "no database", "of somebody else", "empty"])
def test_a_database_that_is_not_ours_is_made_anew(home: Home, kind: str) -> None:
    write_run(home, "retrieved", 100)
    store.collect(home)
    expected = content(home.database)
    if kind == "another program":
        with duckdb.connect(home.database) as connection:
            connection.execute("UPDATE kept.made_by SET program = 'older'")
            connection.execute("DELETE FROM kept.scores")
    elif kind == "of somebody else":
        home.database.unlink()
        with duckdb.connect(home.database) as connection:
            connection.execute("CREATE TABLE runs (mine VARCHAR)")
    else:
        home.database.write_bytes(b"no database" if kind == "no database" else b"")
    assert store.collect(home).read == 1
    assert content(home.database) == expected


def test_the_program_is_known_by_its_schema_and_its_code() -> None:
    assert program.program() == program.program()
    read = {path.name for path in program.sources()}
    assert {"schema.sql", "statements.sql", "rows.py", "labels.py", "records.py"} <= read


def test_predictions_are_kept_for_selected_runs_alone(home: Home) -> None:
    best = write_run(home, "retrieved", 100, val=0.9)
    write_run(home, "retrieved", 100, val=0.1, lr=1e-3)
    with duckdb.connect(store.collect(home).database, read_only=True) as connection:
        kept = connection.execute("SELECT run_id, count(*) FROM predictions GROUP BY ALL")
        assert kept.fetchall() == [(best.run_id, IMAGES)]


def test_what_is_new_renames_what_was_there(home: Home) -> None:
    """A second folder of one name: both tasks are called by more of their paths."""
    add(home, 0, 1)
    with duckdb.connect(store.collect(home).database, read_only=True) as connection:
        assert connection.execute("SELECT DISTINCT task FROM runs").fetchall() == [("planes",)]
    record = write_run(home, "retrieved", 5, task="/x/planes", fingerprints={"task": "other@1"})
    with duckdb.connect(store.collect(home).database, read_only=True) as connection:
        rows = connection.execute("SELECT run_id = ?, task FROM runs", [record.run_id]).fetchall()
    assert sorted(rows) == [(False, "0/planes"), (True, "x/planes")]
