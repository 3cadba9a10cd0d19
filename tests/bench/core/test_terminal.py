"""Texts from outside move no cursor, and a log holds no bars."""

import io
import subprocess
import sys

import pytest

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.terminal import escaped
from tests.conftest import Bench, environment

RED, TITLE = "\x1b[31mred\x1b[0m", "\x1b]0;title\x07"


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (RED, r"\x1b[31mred\x1b[0m"),
        (TITLE, r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("10 %\r20 %", r"10 %\r20 %"),
        ("a\x08b", r"a\x08b"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("ros\udce9.png", r"ros\udce9.png"),
        ("two\n\tlines", "two\n\tlines"),
        ("花 🌹 का\u200dक", "花 🌹 का\u200dक"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_codes_are_escaped_and_scripts_are_not(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_an_error_shows_codes_in_a_name_as_escapes(bench: Bench) -> None:
    for words in (("show", RED), (RED,), ("run", "--source", "none", "--task", RED)):
        done = bench(*words)
        assert done.code == 2
        assert "\x1b" not in done.err
        assert r"\x1b[31mred" in done.err


def test_a_log_is_printed_without_its_codes(bench: Bench, home: Home) -> None:
    folder = home.run("0123456789ab")
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(f"a {RED}\n{TITLE}\n10 %\r20 %\n")
    done = bench("logs", "0123456789ab")
    assert done.out == "a \\x1b[31mred\\x1b[0m\n\\x1b]0;title\\x07\n10 %\n20 %\n"


def test_a_line_of_a_run_has_no_codes() -> None:
    stream = io.StringIO()
    Progress(stream).say(f"left out: {RED}")
    assert stream.getvalue().endswith("left out: \\x1b[31mred\\x1b[0m\n")


@pytest.mark.parametrize(("term", "moves"), [("xterm", True), ("dumb", False)])
def test_a_dumb_terminal_has_lines_for_bars(
    monkeypatch: pytest.MonkeyPatch, term: str, moves: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    stream = Terminal()
    with Progress(stream).bar("scan", 2, "shard") as bar:
        bar.advance()
    assert ("\r" in stream.getvalue()) == moves


def test_libraries_put_no_bars_into_a_log(home: Home) -> None:
    program = """
from bench.core.terminal import keep_bars_out_of_logs
keep_bars_out_of_logs()
from huggingface_hub.utils import tqdm as hubs
from tqdm.auto import tqdm
for bar in (tqdm, hubs):
    list(bar(range(3)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(home.root),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
