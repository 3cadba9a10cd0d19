"""Questions in SQL: answered from an up-to-date database that they can only read."""

import json
from pathlib import Path

import pytest

from bench.core.paths import Home
from results.database import ask, store
from tests.conftest import Bench
from tests.support.records import write_run

COUNT = "SELECT source, count(*) AS runs FROM runs GROUP BY ALL ORDER BY ALL"


@pytest.fixture(autouse=True)
def two_runs(home: Home) -> None:
    write_run(home, "retrieved", 100)
    write_run(home, "synthetic", 100)


def test_what_is_new_is_in_the_answer(home: Home, bench: Bench) -> None:
    assert bench("query", COUNT, "--format", "csv").out == "source,runs\nretrieved,1\nsynthetic,1\n"
    write_run(home, "synthetic", 200)
    rows = bench("query", COUNT, "--format", "json").out
    assert json.loads(rows)[1] == {"source": "synthetic", "runs": 2}
    lines = bench("query", COUNT).out.splitlines()
    assert lines == ["source     runs", "─────────  ────", "retrieved     1", "synthetic     2"]
    assert bench("query", COUNT, "--format", "md").out.splitlines()[2] == "| retrieved | 1 |"


def test_a_wrong_question_is_one_line(bench: Bench) -> None:
    outcome = bench("query", "SELECT * FROM rums")
    assert outcome.code == 2
    assert "rums does not exist" in outcome.complaint
    assert "--tables" in outcome.complaint
    for words in (["query"], ["query", ""], ["query", "SELECT 1", "--tables"]):
        assert bench(*words).code == 2


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('{file}')", "FROM '{file}'", "COPY runs TO '{new}'", "ATTACH '{new}'",
        "INSTALL httpfs", "LOAD httpfs", "SET enable_external_access = true",
        "CREATE TABLE mine AS SELECT 1", "DELETE FROM kept.runs", "EXPORT DATABASE '{new}'",
        "SELECT 1; COPY runs TO '{new}'", "CREATE TEMP TABLE t AS FROM read_csv('{file}')",
    ],
)  # fmt: skip
def test_a_question_reaches_no_file_and_changes_nothing(
    home: Home, bench: Bench, tmp_path: Path, sql: str
) -> None:
    secret, new = tmp_path / "secret.csv", tmp_path / "new"
    secret.write_text("secret\n")
    store.collect(home)
    before = home.database.read_bytes()
    outcome = bench("query", sql.format(file=secret, new=new))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.complaint
    assert not new.exists()
    assert home.database.read_bytes() == before


def test_a_record_that_cannot_be_read_is_named(home: Home, bench: Bench) -> None:
    (home.runs / "bad").mkdir()
    (home.runs / "bad" / "record.json").write_text("{")
    for words in (("query", COUNT), ("collect",)):
        outcome = bench(*words)
        assert outcome.code == 3
        assert "bad/record.json" in outcome.err
    assert "bad" not in bench("query", COUNT).out


def test_every_table_and_column_has_a_meaning(home: Home, bench: Bench) -> None:
    out = bench("query", "--tables").out
    assert "selected: What the report shows." in out
    collected = store.collect(home)
    with collected.reading() as connection:
        described = ask.tables(connection)
        shown = connection.execute("SELECT name FROM (SHOW TABLES)").fetchall()
    assert {table.name for table in described} == {name for (name,) in shown}
    for table in described:
        assert table.meaning
        for column in table.columns:
            assert column.meaning, (table.name, column.name)


def test_no_meaning_is_of_something_that_is_not_there(home: Home) -> None:
    with store.collect(home).reading() as connection:
        names = {(t.name, c.name) for t in ask.tables(connection) for c in t.columns}
    every = {name for _, name in names} | {f"{table}.{name}" for table, name in names}
    assert set(ask.meanings()["columns"]) <= every


def test_an_answer_is_escaped(bench: Bench) -> None:
    out = bench("query", "SELECT chr(27) || '[31mred' AS a, 'x' || chr(10) || 'y' AS b").out
    assert "\x1b" not in out
    assert "\\x1b[31mred" in out
    assert "x y" in out


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1;;DROP TABLE runs", " ; "])
def test_one_question_has_one_answer(bench: Bench, sql: str) -> None:
    asked = bench("query", sql)
    assert (asked.code, asked.out) == (2, "")
    assert "ask one" in asked.complaint
