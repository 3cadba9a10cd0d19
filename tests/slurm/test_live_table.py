"""The table that fills while a study's runs end."""

import io
import os
import select
import signal
import termios
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import pytest

from bench.core.paths import Home
from bench.core.specs import RunSpec
from slurm.live_table import Board, live_table
from slurm.naming import titles
from tests.support.command_line import until
from tests.support.records import write_run

ARMS = (("none", None, 0), ("retrieved", 160, 0), ("retrieved", 160, 1), ("synthetic", 640, 0))


@pytest.fixture
def specs(tmp_path: Path) -> list[RunSpec]:
    elsewhere = Home(tmp_path / "elsewhere")
    return [write_run(elsewhere, source, n, seed=seed).spec for source, n, seed in ARMS]


def end(home: Home, index: int, right: int = 130, **changes: Any) -> None:
    """Let a run of the study end."""
    source, n, seed = ARMS[index]
    day = "2026-01-01T10:00:{}+00:00".format
    changes |= {"started": day("00"), "finished": day("12")}
    write_run(home, source, n, right, seed=seed, **changes)


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
    first, second, third = board.read()
    assert first == "[1/4] mini-aircraft none n=all seed=0: linear-probe 50.0 %, after 12 s"
    assert second.startswith("[2/4] mini-aircraft retrieved n=160 seed=0: linear-probe 65.0 %")
    assert third.endswith("seed=0: failed: the disk is full, after 12 s")
    assert board.table() == [
        "3 of 4 runs  0     160         640",
        "unadapted    50.0",
        "retrieved          65.0 (1/2)",
        "synthetic                      failed",
    ]
    assert board.read() == []
    end(home, 2, right=140)
    assert len(board.read()) == 1
    assert "retrieved          67.5" in board.table()[2]


def test_a_run_that_failed_before_is_waited_for(home: Home, specs: list[RunSpec]) -> None:
    end(home, 1, status="failed", error="no luck", scores=[])
    end(home, 0)
    board = Board(specs, titles(specs), home)
    assert set(board.ended) == {specs[0].run_id}
    assert board.read() == []
    record = home.run(specs[1].run_id) / "record.json"
    os.utime(record, ns=(0, time.time_ns()))
    assert len(board.read()) == 1


def test_a_record_that_is_written_during_the_first_read_is_shown(
    home: Home, specs: list[RunSpec]
) -> None:
    class Overtaken(Board):
        def read(self) -> list[str]:
            lines = super().read()
            if not self.ended:
                end(home, 1)
            return lines

    board = Overtaken(specs, titles(specs), home)
    assert len(board.read()) == 1
    assert "1 of 4 runs" in board.table()[0]


def test_a_log_file_has_a_line_for_every_run(home: Home, specs: list[RunSpec]) -> None:
    end(home, 0)
    stream = io.StringIO()
    with live_table(specs, titles(specs), home, stream):
        end(home, 1)
        until(lambda: "[2/4]" in stream.getvalue())
        end(home, 2)
    lines = [line.partition(" ")[2] for line in stream.getvalue().splitlines()]
    assert lines[0] == "1 of 4 runs were done before"
    assert [line[:5] for line in lines[1:]] == ["[2/4]", "[3/4]"]


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


def read(terminal: int, until_text: str) -> str:
    """Return what a terminal was sent up to a text."""
    shown = b""
    while until_text not in shown.decode(errors="ignore"):
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, shown
        shown += os.read(terminal, 10_000)
    return shown.decode(errors="ignore")
