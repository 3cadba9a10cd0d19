"""`bench sweep` on a small study, in this process and in worker processes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench.core.paths import Home
from tests.conftest import ROOT, Bench, command, environment
from tests.support.command_line import DIVERGING, until, write_study


@pytest.fixture
def study(tmp_path: Path, preset: Path, colours: Path) -> Any:
    """Return what writes a study of two seeds of some sizes and the unadapted model."""

    def write(*sizes: int, **more: Any) -> str:
        axes: dict[str, Any] = {"task": str(colours)}
        real = {**axes, "source": "real", "n": list(sizes), "seed": [0, 1], **more}
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
    words = ("sweep", study(24, **{"train.lr": [1e-3, DIVERGING]}), "--on", "debug")
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


def test_runs_that_ask_for_more_images_than_there_are_are_holes_and_no_failures(
    bench: Bench, home: Home, tmp_path: Path, study: Any
) -> None:
    words = ("sweep", study(6, 97, 98), "--on", "debug")
    done = bench(*words)
    assert done.code == 0
    last = "3 of 7 runs are done, and 4 runs ask for more images than there are"
    *_, counted, further = done.out.splitlines()
    assert counted == last
    assert re.findall("`bench (.*?)`", further) == ["report", "export"]
    assert "accuracy" in bench("export", "--out", "-").out
    holes = [home.run(run["run_id"]) for run in bench("status", "small", "--json").json["rows"]]
    records = {path: path.read_bytes() for path in (hole / "record.json" for hole in holes)}
    marks = [json.loads(text).get("too_few_images", False) for text in records.values()]
    assert sorted(marks) == [False] * 3 + [True] * 4
    status = bench("status", "small").out
    assert "7 runs; 4 too few images, 3 done" in status
    assert "on hold" not in status
    assert "97 images asked for, but the source 'real' has 24" in status
    plan = bench("sweep", words[1], "--dry-run").out
    assert "7 runs: 0 to do (0 failed before), 3 done, 4 with too few images" in plan
    for again in (words, ("retry", "small"), ("retry", "small", "--failed")):
        done = bench(*again)
        assert done.code == 0, done.err
        assert "skipped: 4 runs ask for more images than there are" in done.out
    assert {path: path.read_bytes() for path in records} == records
    page = report(bench, tmp_path)
    assert "Where the images ended" in page
    assert "n = 97, 2 runs: 97 images asked for" in page
    assert "Failed runs" not in page
    assert "Study small" not in page


def test_a_plan_needs_nothing_and_says_what_is_missing(
    bench: Bench, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = ("sweep", "studies/paper-figure2.yaml")
    plan = bench(*words, "--dry-run", "--json").json
    assert {(run["run_id"], run["status"]) for run in plan["runs"]} == {(None, "missing")}
    missing = {each["what"]: each for each in plan["missing"]}
    remedies = [each["fix"] for each in plan["missing"]]
    for remedy in (
        "--model CLIP-ViT-B-16-laion2B-s34B-b88K", "--model stable-diffusion-v1-5",
        *(f"--task {task}" for task in ("aircraft", "cars", "flowers")), "pools",
    ):  # fmt: skip
        assert sum(remedy in each for each in remedies) == 1, remedy
    pool = next(each for what, each in missing.items() if "pool" in what)
    assert (pool["sources"], pool["tasks"]) == (["retrieved"], ["aircraft", "cars", "flowers"])
    text = bench(*words, "--dry-run").out
    assert "time          unknown" in text
    assert len(text.splitlines()) > len(plan["runs"])
    refused = bench(*words)
    assert refused.code == 2
    assert all(refused.complaint.count(each) == 1 for each in missing)
    assert bench(*words, "--skip-missing").code == 2, "nothing would be left"
    assert not home.root.exists()


def test_a_study_goes_on_without_a_task_that_is_missing(
    bench: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    block = {"task": [str(colours), "cars"], "source": "real", "n": [6, 9]}
    words = ("sweep", str(write_study(tmp_path, preset, block)), "--on", "debug")
    refused = bench(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "2 of 4 runs lack what they need" in refused.complaint
    assert "2 runs of cars (real): the data of task 'cars'" in refused.complaint
    assert "--skip-missing" in refused.complaint
    assert not home.root.exists()
    assert "4 to do (0 failed before, 2 missing something)" in bench(*words, "--dry-run").out
    plan = bench(*words, "--dry-run", "--skip-missing").out
    assert "4 runs: 2 to do (0 failed before), 0 done, 2 left out" in plan
    done = bench(*words, "--skip-missing")
    assert done.code == 0
    assert "left out: 2 runs of cars" in done.out
    assert "2 of 2 runs are done" in done.out
    assert "2 done" in bench(*words, "--dry-run").out


def test_a_wrong_setting_is_no_missing_thing(
    bench: Bench, tmp_path: Path, preset: Path, colours: Path
) -> None:
    axes = {"task": [str(colours), "cars"], "source": "real", "n": 6}
    path = str(write_study(tmp_path, preset, {**axes, "objective": "cee"}))
    done = bench("sweep", path, "--skip-missing", "--dry-run")
    assert done.code == 2
    assert "objective 'cee'; did you mean ce" in done.complaint


def report(bench: Bench, folder: Path) -> str:
    assert bench("report", "--out", str(folder / "report")).code == 0
    return (folder / "report" / "report.html").read_text()


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
