"""`bench sweep` on a small study, in this process and in worker processes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench.core.paths import Home
from tests.conftest import Bench, command, environment
from tests.support.command_line import until, write_study


@pytest.fixture
def study(tmp_path: Path, preset: Path, colours: Path) -> Any:
    """Return what writes a study of two seeds of some sizes and the unadapted model."""

    def write(*sizes: int) -> str:
        axes: dict[str, Any] = {"task": str(colours)}
        real = {**axes, "source": "real", "n": list(sizes), "seed": [0, 1]}
        none = {**axes, "source": "none", "n": "all"}
        return str(write_study(tmp_path, preset, real, none))

    return write


def test_a_dry_run_lists_the_runs_and_writes_nothing(bench: Bench, home: Home, study: Any) -> None:
    done = bench("sweep", study(6, 9), "--dry-run", "--json")
    assert done.code == 0
    assert len({run["run_id"] for run in done.json["runs"]}) == len(done.json["runs"]) == 5
    assert {run["status"] for run in done.json["runs"]} == {"to do"}
    assert not home.root.exists()


def test_a_failing_run_does_not_stop_the_others_and_done_ones_are_not_repeated(
    bench: Bench, home: Home, study: Any
) -> None:
    words = ("sweep", study(6, 99), "--on", "debug")
    done = bench(*words)
    assert done.code == 1
    assert done.out.splitlines()[-1] == "3 of 5 runs are done"
    assert "2 runs failed" in done.err.splitlines()[-1]
    plan = bench("sweep", words[1], "--dry-run", "--json").json
    assert sorted(run["status"] for run in plan["runs"]) == ["done"] * 3 + ["failed"] * 2
    records = {path: path.read_bytes() for path in home.runs.glob("*/record.json")}
    finished = {p: text for p, text in records.items() if json.loads(text)["status"] == "done"}
    assert len(finished) == 3
    assert bench(*words).code == 1
    assert {path: path.read_bytes() for path in finished} == finished


@pytest.mark.slow
def test_local_processes_come_to_the_same_scores(
    bench: Bench, bench_process: Bench, home: Home, tmp_path: Path, study: Any
) -> None:
    def scores(path: Path) -> Any:
        return json.loads(path.read_text())["scores"]

    path, other = study(6), tmp_path / "other"
    done = bench_process("sweep", path, "--on", "local", home_=other)
    assert done.code == 0, done.err
    assert bench("sweep", path, "--on", "debug").code == 0
    for record in home.runs.glob("*/record.json"):
        assert scores(other / record.relative_to(home.root)) == scores(record)


@pytest.mark.slow
def test_runs_that_another_process_executes_come_last(bench: Bench, home: Home, study: Any) -> None:
    path = study(6, 9)
    plan = bench("sweep", path, "--dry-run", "--json").json
    first, *others = [home.run(run["run_id"]) / "record.json" for run in plan["runs"]]
    first.parent.mkdir(parents=True)
    with FileLock(first.parent / ".lock"):
        words = command("sweep", path, "--on", "debug")
        sweep = subprocess.Popen(words, env=environment(home.root))
        until(lambda: all(record.exists() for record in others))
        assert not first.exists()
        assert sweep.poll() is None
    assert sweep.wait(60) == 0
    assert first.exists()
