"""The demo: its own results only, its failures, and what to look at next."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.command_line import request, write_study


@pytest.fixture
def in_this_process(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that worker processes cannot use, so that the demo takes seconds."""
    monkeypatch.setenv("BENCH_HOME", f"{home.root}:here")


@pytest.fixture
def small_demo(preset: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what replaces the demo's study by real images of these sizes."""
    from bench.commands import demo

    def write(*sizes: int, sources: tuple[str, ...] = ("none",)) -> None:
        axes: dict[str, Any] = {"task": str(colours)}
        real = {**axes, "source": "real", "n": list(sizes), "seed": [0, 1]}
        others = [{**axes, "source": source, "n": "all"} for source in sources]
        monkeypatch.setattr(demo, "STUDY", write_study(tmp_path, preset, real, *others))

    return write


@pytest.mark.slow
def test_a_demo_shows_its_own_results_only(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, small_demo: Any
) -> None:
    shutil.copytree(colours, tmp_path / "another")
    assert bench(*request(preset, tmp_path / "another", "--n", "9")).code == 0
    small_demo(6)
    done = bench("demo")
    assert done.code == 0, done.err
    assert "another (" not in done.out
    assert "colours (" in done.out
    (plot,) = (line.split()[1] for line in done.out.splitlines() if line.startswith("plot:"))
    assert "another" not in Path(plot).name
    assert Path(plot).is_file()
    for number in (1, 2, 3):
        assert f"[{number}/3] " in done.err
    again = bench("demo")
    assert again.out == done.out
    assert "3 of 3 runs were done before" in again.err
    check_next(bench, again.out)


def check_next(bench: Bench, out: str) -> None:
    """Check that what a demo names next is there and works."""
    lines = out.partition("next:\n")[2].splitlines()
    shown = [line.strip().split("  ")[0] for line in lines]
    commands = [text.split()[1:] for text in shown if text.startswith("bench ")]
    assert [words[0] for words in commands] == ["show", "run"]
    assert bench(*commands[0]).code == 0
    assert bench(*commands[1], "--dry-run").code == 0
    files = [Path(text) for text in shown if not text.startswith("bench ")]
    assert [path.name for path in files] == ["report.html", "miniworld.md"]
    assert all(path.is_file() for path in files)


@pytest.mark.usefixtures("in_this_process")
def test_a_demo_of_which_a_part_fails_says_so(bench: Bench, small_demo: Any) -> None:
    small_demo(6, 99)
    done = bench("demo")
    assert done.code == 1
    assert "plot:" in done.out
    assert "2 of 5 runs failed" in done.err.splitlines()[-1]


@pytest.mark.usefixtures("in_this_process")
def test_a_demo_that_fails_says_where_to_look(bench: Bench, small_demo: Any) -> None:
    small_demo(98, 99, sources=())
    done = bench("demo")
    assert (done.code, done.out) == (1, "")
    assert "none of the 4 runs finished; read why in " in done.err.splitlines()[-1]
