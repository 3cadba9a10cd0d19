"""A home that may only be read, such as a colleague's: what reads works, what writes says so."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.core.paths import Home
from tests.conftest import Bench, Outcome, Web, command, environment
from tests.support.records import write_run

# Root may write anywhere until it gives that right away.
_AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.fixture
def studied(home: Home) -> Home:
    """A home with two runs."""
    for source, n in (("none", None), ("retrieved", 100)):
        write_run(home, source, n)
    return home


@pytest.fixture
def read_only(home: Home, tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """The command line as somebody who may only read the home."""
    prefix = [] if os.geteuid() else _AS_ANYBODY
    if prefix and shutil.which(prefix[0]) is None:
        pytest.skip("root without setpriv may write anywhere")

    def call(*words: str) -> Outcome:
        subprocess.run(["chmod", "-R", "a-w", home.root], check=True)
        done = subprocess.run(
            [*prefix, *command(*words)],
            env=environment(home.root),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    yield call
    subprocess.run(["chmod", "-R", "u+w", home.root], check=True)


def test_a_report_elsewhere_takes_the_database_there(
    studied: Home, read_only: Bench, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = read_only("report", "--out", str(out))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"database: {out / 'results.duckdb'}, as {studied.root} cannot be written to",
        f"report: {out / 'report.html'}",
    ]
    assert {"report.html", "results.duckdb"} <= {path.name for path in out.iterdir()}


def test_tables_are_exported_and_where_the_database_was_is_said(
    studied: Home, read_only: Bench, tmp_path: Path
) -> None:
    done = read_only("export")
    assert (done.code, done.out) == (0, "results.csv\n")
    assert f"{studied.root} cannot be written to" in done.err
    assert "retrieved" in (tmp_path / "results.csv").read_text()


@pytest.mark.parametrize("name", ["report", "collect"])
def test_what_would_write_there_says_what_would_not(
    studied: Home, read_only: Bench, name: str
) -> None:
    done = read_only(name)
    assert (done.code, done.out) == (2, "")
    assert f"{studied.root} may only be read; `bench report --out DIR`" in done.complaint


def test_a_finished_scan_is_counted_again(
    home: Home, read_only: Bench, bench_process: Bench, web: Web
) -> None:
    words = ("match", "--preset", "mini", "--pool", str(web.pool), "--count", "--json", "--task")
    home.root.mkdir()
    before = bench_process(*words, "aircraft")
    again = read_only(*words, "aircraft")
    assert (again.code, again.out) == (0, before.out), again.err
    other = read_only(*words, "cars")
    assert other.code == 2
    assert "set BENCH_HOME to a folder you can write to" in other.complaint


def test_a_fetch_says_that_the_place_is_the_matter(home: Home, read_only: Bench) -> None:
    home.root.mkdir()
    done = read_only("fetch", "--task", "aircraft")
    assert done.code == 2
    assert f"no access to {home.tasks}" in done.complaint


def test_a_database_that_is_none_is_built_anew(studied: Home, bench: Bench) -> None:
    studied.database.write_text("not a database")
    assert bench("report").code == 0
    assert studied.database.read_bytes()[8:12] == b"DUCK"


def test_a_database_that_cannot_be_replaced_is_said(
    studied: Home, bench: Bench, tmp_path: Path
) -> None:
    studied.database.mkdir()
    refused = bench("report")
    assert refused.code == 1
    assert f"cannot write {studied.database}" in refused.complaint
    assert bench("report", "--out", str(tmp_path / "out")).code == 0
