"""The demo: its own results, a table that fills while runs end, and what to look at next."""

import io
import os
import select
import shutil
import signal
import termios
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import pytest

from bench.commands._live import Board, live_table
from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.core.specs import RunSpec
from slurm.work import titles
from tests.bench.test_cli import request, write_study
from tests.conftest import Bench
from tests.support.records import write_run

ARMS = (("none", None, 0), ("retrieved", 160, 0), ("retrieved", 160, 1), ("synthetic", 640, 0))


@pytest.fixture
def small_demo(preset: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The demo on a study of these sizes, in a home that has other results too."""
    from bench.commands import demo

    def write(sizes: str) -> None:
        monkeypatch.setattr(demo, "STUDY", write_study(tmp_path, preset, colours, sizes))

    return write


def test_a_demo_shows_its_own_results_only(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, small_demo: Any
) -> None:
    shutil.copytree(colours, tmp_path / "another")
    assert bench(*request(preset, tmp_path / "another", "--n", "9")).code == 0
    small_demo("[6]")
    done = bench("demo")
    assert done.code == 0, done.err
    assert "another (" not in done.out
    assert "colours (" in done.out
    (plot,) = (line.split()[1] for line in done.out.splitlines() if line.startswith("plot:"))
    assert "another" not in Path(plot).name
    assert Path(plot).is_file()
    for place in (1, 2, 3):
        assert f"[{place}/3] " in done.err
    again = bench("demo")
    assert again.out == done.out
    assert "3 of 3 runs were done before" in again.err


def test_what_a_demo_names_next_is_there_and_works(bench: Bench, small_demo: Any) -> None:
    small_demo("[6]")
    lines = bench("demo").out.partition("next:\n")[2].splitlines()
    shown = [line.strip().split("  ")[0] for line in lines]
    commands = [one.split()[1:] for one in shown if one.startswith("bench ")]
    assert [words[0] for words in commands] == ["show", "run"]
    assert bench(*commands[0]).code == 0
    assert bench(*commands[1], "--dry-run").code == 0
    files = [Path(one) for one in shown if not one.startswith("bench ")]
    assert [path.name for path in files] == ["report.html", "miniworld.md"]
    assert all(path.is_file() for path in files)


def test_a_demo_of_which_a_part_fails_says_so(bench: Bench, small_demo: Any) -> None:
    small_demo("[6, 99]")
    done = bench("demo")
    assert done.code == 1
    assert "plot:" in done.out
    assert "2 of 5 runs failed" in done.err.splitlines()[-1]


def test_a_demo_that_fails_says_where_to_look(
    bench: Bench, home: Home, small_demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There it runs in this process.
    monkeypatch.setenv("BENCH_HOME", f"{home.root}:here")

    def fail(*_: object) -> None:
        raise BenchError("no luck")

    monkeypatch.setattr("bench.run.collect_images", fail)
    small_demo("[6]")
    done = bench("demo")
    assert (done.code, done.out) == (1, "")
    assert "none of the 3 runs finished; read why in " in done.err.splitlines()[-1]


# ---------------------------------------------------------------- the table that fills


@pytest.fixture
def specs(tmp_path: Path) -> list[RunSpec]:
    """The runs of a small study."""
    elsewhere = Home(tmp_path / "elsewhere")
    return [write_run(elsewhere, source, n, seed=seed).spec for source, n, seed in ARMS]


def end(home: Home, place: int, right: int = 130, **changes: Any) -> None:
    """Let a run of the study end."""
    source, n, seed = ARMS[place]
    times: dict[str, Any] = {
        "started": "2026-01-01T10:00:00+00:00",
        "finished": "2026-01-01T10:00:12+00:00",
    }
    write_run(home, source, n, right, seed=seed, **times, **changes)


def test_cells_are_means_over_the_seeds_that_are_done(home: Home, specs: list[RunSpec]) -> None:
    board = Board(specs, titles(specs), home)
    assert board.table() == [
        "0 of 4 runs  0  160  640",
        "unadapted    …",
        "retrieved       …",
        "synthetic            …",
    ]
    end(home, 0, right=100)
    end(home, 1)
    end(home, 3, status="failed", error="the disk\nis full", scores=[])
    first, second, third = board.look()
    assert first == "[1/4] mini-aircraft none n=all seed=0: linear-probe 50.0 %, after 12 s"
    assert second.startswith("[2/4] mini-aircraft retrieved n=160 seed=0: linear-probe 65.0 %")
    assert third.endswith("seed=0: failed: the disk is full, after 12 s")
    assert board.table() == [
        "3 of 4 runs  0     160         640",
        "unadapted    50.0",
        "retrieved          65.0 (1/2)",
        "synthetic                      failed",
    ]
    assert board.look() == []
    end(home, 2, right=140)
    assert len(board.look()) == 1
    assert "retrieved          67.5" in board.table()[2]


def test_what_failed_before_is_waited_for(home: Home, specs: list[RunSpec]) -> None:
    end(home, 1, status="failed", error="no luck", scores=[])
    end(home, 0)
    board = Board(specs, titles(specs), home)
    assert set(board.ended) == {specs[0].run_id}
    assert board.look() == []
    record = home.run(specs[1].run_id) / "record.json"
    os.utime(record, ns=(0, time.time_ns()))
    assert len(board.look()) == 1


def test_a_record_that_is_written_during_the_first_look_is_shown(
    home: Home, specs: list[RunSpec]
) -> None:
    class Overtaken(Board):
        def look(self) -> list[str]:
            lines = super().look()
            if not self.ended:
                end(home, 1)
            return lines

    board = Overtaken(specs, titles(specs), home)
    assert len(board.look()) == 1
    assert "1 of 4 runs" in board.table()[0]


def test_a_log_file_has_a_line_for_every_run(home: Home, specs: list[RunSpec]) -> None:
    end(home, 0)
    stream = io.StringIO()
    with live_table(specs, titles(specs), home, stream):
        end(home, 1)
        deadline = time.monotonic() + 30
        while "[2/4]" not in stream.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        end(home, 2)
    said = [line.partition(" ")[2] for line in stream.getvalue().splitlines()]
    assert said[0] == "1 of 4 runs were done before"
    assert [line[:5] for line in said[1:]] == ["[2/4]", "[3/4]"]


def test_a_terminal_shows_the_table_until_the_end_or_an_interruption(
    home: Home, specs: list[RunSpec]
) -> None:
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    end(home, 0, right=100)
    running = threading.active_count()
    shown = ""

    def watched(stream: TextIO) -> None:
        nonlocal shown
        with live_table(specs, titles(specs), home, stream):
            end(home, 1)
            shown = read(master, "65.0 (1/2)")
            # As a key does: to the process, whichever thread takes it.
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)

    with os.fdopen(slave, "w") as stream, pytest.raises(KeyboardInterrupt):
        watched(stream)
    os.close(master)
    assert "1 of 4 runs  0     160  640" in shown
    assert "unadapted    50.0" in shown
    assert "2 of 4 runs" in shown
    assert threading.active_count() <= running + 1  # tqdm's own monitor stays.


def read(terminal: int, until: str) -> str:
    """Return what a terminal was sent up to a text."""
    shown = b""
    while until not in shown.decode(errors="ignore"):
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, shown
        shown += os.read(terminal, 10_000)
    return shown.decode(errors="ignore")
