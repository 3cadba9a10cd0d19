"""What docs/results.md shows is what the commands do."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bench import cli
from bench.core.paths import Home
from bench.storage.study_folder import StudyFolder, Submitted
from tests.conftest import ROOT, Bench
from tests.support.records import IMAGES, score, write_run

PAGE = (ROOT / "docs" / "results.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
CODE = [block for kind, block in BLOCKS if kind == "python"]


@pytest.fixture
def with_results(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with two arms, two sizes, two objectives, and the unadapted model."""
    _write(home, "none", 0, 90)
    for seed in range(3):
        for n, right in {100: 100, 1000: 140}.items():
            _write(home, "retrieved", n, right + seed, seed=seed)
            _write(home, "synthetic", n, right - 20 + seed, seed=seed)
    for source in ("retrieved", "synthetic"):
        _write(home, source, 1000, 120, objective="simclr")
    monkeypatch.chdir(tmp_path)
    return home


def _write(home: Home, source: str, n: int, right: int, seed: int = 0, **more: Any) -> None:
    """Leave a run that two evaluators scored."""
    scores = [
        score(split, right / IMAGES, evaluator)
        for split in ("val", "test")
        for evaluator in ("linear-probe", "zero-shot")
    ]
    write_run(home, source, n, right=right, scores=scores, seed=seed, **more)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.usefixtures("with_results")
def test_a_command_of_the_page_works(bench: Bench, line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    assert words[0] == "bench"
    done = bench(*words[1:])
    assert done.code == 0, done.err
    assert done.out.strip()
    if "--out" in words:
        assert (tmp_path / words[words.index("--out") + 1]).exists()


@pytest.mark.parametrize("code", CODE)
def test_the_python_of_the_page_works(code: str, with_results: Home) -> None:
    run_id = next(with_results.runs.iterdir()).name
    study = StudyFolder(with_results, "demo")
    study.submit(Submitted(name="demo", runs={run_id: "a run"}, on="local"))
    values: dict[str, Any] = {}
    exec(code, values)
    assert set(values["demo"]["run_id"]) == {run_id}
    assert set(values["everything"]["run_id"]) == {
        each.name for each in with_results.runs.iterdir()
    }


def test_the_exit_codes_of_the_page_are_those_of_the_command_line() -> None:
    codes = re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE)
    said = " ".join((cli.__doc__ or "").partition("Exit codes:")[2].split())
    assert codes == re.findall(r"\b(\d+) [a-z]", said)


@pytest.mark.parametrize("name", ["report", "figure", "export", "compare", "query"])
def test_a_damaged_record_is_named_and_told_by_the_exit_code(
    bench: Bench, name: str, with_results: Home
) -> None:
    line = next(line for line in LINES if line.split()[1] == name)
    (with_results.runs / "damaged").mkdir()
    (with_results.runs / "damaged" / "record.json").write_text("{")
    done = bench(*shlex.split(line)[1:])
    assert done.code == 3
    assert "damaged/record.json" in done.err
