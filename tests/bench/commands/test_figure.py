"""``bench figure``."""

from pathlib import Path

import pytest

from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.records import score, write_curves, write_run


@pytest.fixture
def here(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, beside a home with two arms of a task."""
    write_curves(home, retrieved={100: 120, 1_000: 150}, synthetic={100: 110, 1_000: 120})
    write_run(home, "none", None, right=100)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_figure_comes_as_three_files_with_its_caption(bench: Bench, here: Path) -> None:
    outcome = bench("figure", "scaling")
    assert outcome.code == 0, outcome.err
    stem = "figures/scaling-mini-aircraft"
    assert outcome.out.split() == [f"{stem}.{ending}" for ending in ("svg", "pdf", "png", "txt")]
    files = {path.suffix: path.read_bytes() for path in (here / "figures").iterdir()}
    assert b">retrieved</text>" in files[".svg"]
    assert b"/FontFile2" in files[".pdf"]  # TrueType's.
    assert b"/Type3" not in files[".pdf"]
    assert files[".png"][1:4] == b"PNG"
    assert b"200 test images" in files[".txt"]
    bench("figure", "scaling")
    assert {path.suffix: path.read_bytes() for path in (here / "figures").iterdir()} == files


def test_a_request_chooses_the_figure_its_place_and_files(bench: Bench, here: Path) -> None:
    asked = ("--for", "slides", "--format", "svg,svg", "--out", "new")
    twice = ("--evaluator", "linear-probe") * 2
    outcome = bench("figure", "scaling", *asked, *twice)
    assert outcome.out.split()[0] == "new/scaling-mini-aircraft.svg", outcome.err
    assert sorted(path.suffix for path in (here / "new").iterdir()) == [".svg", ".txt"]


def test_nothing_but_failures_is_nothing_to_draw(bench: Bench, home: Home) -> None:
    write_run(home, "retrieved", 100, status="failed", error="the disk is full", scores=[])
    outcome = bench("figure", "all")
    assert outcome.code == 2
    assert "no finished run has results to draw" in outcome.complaint


def test_an_experiment_has_files_of_its_own(bench: Bench, home: Home, here: Path) -> None:
    write_run(home, "synthetic", 100, objective="simclr")
    both = bench("figure", "scaling", "--format", "png").out.split()
    assert both[::2] == [f"figures/scaling-mini-aircraft-{name}.png" for name in ("ce", "simclr")]
    one = bench("figure", "scaling", "--format", "png", "--objective", "simclr").out.split()
    assert one == both[2:]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["scalings"], "unknown figure 'scalings'; did you mean scaling?"),
        (
            ["scaling", "--task", "mini-aircarft"],  # codespell:ignore
            "unknown task 'mini-aircarft'; did you mean mini-aircraft?",  # codespell:ignore
        ),
        (["scaling", "--preset", "paper"], "unknown preset 'paper'; there are: mini"),
        (
            ["scaling", "--evaluator", "linear"],
            "unknown evaluator 'linear'; did you mean linear-probe?",
        ),
        (["gap", "--arm", "retrieved"], "an arm is compared with one other"),
        (["gap", "--arm", "none", "--arm", "none"], "an arm is compared with one other"),
        (["gap", "--arm", "real", "--arm", "synthetic"], "unknown arm 'real'"),
        (["scaling", "--format", "jpg"], "unknown format 'jpg'; did you mean png?"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_wrong_request_is_refused_and_nothing_drawn(
    bench: Bench, here: Path, words: list[str], complaint: str
) -> None:
    outcome = bench("figure", *words)
    assert outcome.code == 2
    assert outcome.complaint.startswith(complaint)
    assert not (here / "figures").exists()


def test_a_figure_with_nothing_to_draw_is_refused(bench: Bench, here: Path, home: Home) -> None:
    for path in home.runs.glob("*/predictions.parquet"):
        path.unlink()
    refused = bench("figure", "gap")
    assert refused.code == 2
    assert refused.complaint.startswith("mini-aircraft (preset mini, mini-clip, ce)")
    every = bench("figure", "all", "--format", "png")
    assert every.code == 0
    assert "figures/scaling-mini-aircraft.png" in every.out.split()
    assert "bench: note: " in every.err


def test_a_record_that_cannot_be_read_is_named(bench: Bench, here: Path, home: Home) -> None:
    next(home.runs.glob("*/record.json")).write_text("{")
    outcome = bench("figure", "scaling", "--format", "png")
    assert outcome.code == 3
    assert "record.json" in outcome.err


def test_a_figure_taller_than_a_page_is_told(bench: Bench, home: Home, here: Path) -> None:
    scores = [score("test", 0.5, evaluator=f"few-shot-{shots}") for shots in range(1, 9)]
    write_run(home, "retrieved", 5_000, scores=scores)
    asked = ("figure", "scaling", "--format", "png")
    told = bench(*asked).err
    assert "scaling-mini-aircraft is taller than a page of 9 inches: choose with" in told
    assert "taller" not in bench(*asked, "--evaluator", "linear-probe").err
    assert "taller" not in bench(*asked, "--wide").err
