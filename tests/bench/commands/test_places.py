"""A run is the same from whatever folder it is asked for, and however its paths are written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.command_line import DIVERGING, write_study


@pytest.fixture
def places(tmp_path: Path, colours: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a task in ``x/data`` and another in ``y/data``."""
    root = tmp_path / "places"
    for name in ("x", "y"):
        shutil.copytree(colours, root / name / "data")
    (root / "y/data/train/red/0.png").unlink()
    (root / "link").symlink_to(root / "x/data")
    monkeypatch.chdir(root)
    return root


def run_id(bench: Bench, preset: Path, task: str, *more: str) -> str:
    words = ("run", "--source", "real", "--task", task, "--preset", str(preset), "--n", "6")
    done = bench(*words, "--dry-run", *more)
    assert done.code == 0, done.err
    return str(json.loads(done.out)["run_id"])


def test_a_task_is_one_however_its_path_is_written(
    bench: Bench, preset: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = str(places / "x/data")
    spellings = ("x/data", "x/data/", "./x/data", "y/../x/data", "link", absolute)
    ids = {run_id(bench, preset, task) for task in spellings}
    assert len(ids) == 1
    assert run_id(bench, preset, "y/data") not in ids
    shutil.move(places / "x/data", places / "moved/data")
    assert {run_id(bench, preset, "moved/data")} == ids
    monkeypatch.chdir(places / "moved")
    assert {run_id(bench, preset, "data")} == ids


def test_a_folder_of_images_and_a_pool_are_one_however_their_paths_are_written(
    bench: Bench, preset: Path, colours: Path, places: Path, tiny_clip: Path
) -> None:
    shutil.copytree(tiny_clip, places / "my-clip")
    task = str(colours)
    folder = ("--source", "folder")
    for source, name, there in ((folder, "source.path", "x/data/train"), ((), "model", "my-clip")):
        ids = {
            run_id(bench, preset, task, *source, "--set", f"{name}={spelling}")
            for spelling in (there, f"./{there}/", str(places / there))
        }
        assert len(ids) == 1, name


def test_two_folders_called_alike_are_two_tasks_and_a_retry_works_from_elsewhere(
    bench: Bench, home: Home, preset: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block: dict[str, Any] = {"task": ["x/data", "y/data", "./x/data"], "source": "real", "n": 23}
    study = write_study(places, preset, block)
    words = ("sweep", str(study), "--on", "debug")
    assert "\n2 runs: 2 to do" in bench("sweep", str(study), "--dry-run").out
    assert bench(*words, "--set", f"train.lr={DIVERGING}").code == 1
    monkeypatch.chdir(places.parent)
    again = bench("retry", study.stem, "--failed")
    assert "2 runs failed" in again.err, again.err
    monkeypatch.chdir(places)
    assert bench(*words).out.splitlines()[-2] == "2 of 2 runs are done"
    done = bench("export", "--out", str(places / "out.csv"))
    assert done.code == 0, done.err
    text = (places / "out.csv").read_text()
    assert "x/data" in text
    assert "y/data" in text
    assert str(places) not in text


def test_a_task_whose_folder_is_gone_is_said(bench: Bench, preset: Path, places: Path) -> None:
    study = write_study(places, preset, {"task": "x/data", "source": "real", "n": 23})
    assert bench("sweep", str(study), "--on", "debug", "--set", f"train.lr={DIVERGING}").code == 1
    shutil.move(places / "x", places / "z")
    done = bench("retry", study.stem, "--failed")
    assert done.code == 2
    assert f"the folder {places / 'x/data'} of the task is not there; move it back" in done.err


def test_a_task_that_changed_after_its_run_was_planned_is_not_taken_for_it(
    bench: Bench, bench_process: Bench, home: Home, preset: Path, places: Path
) -> None:
    study = write_study(places, preset, {"task": "x/data", "source": "real", "n": 23})
    assert bench("sweep", str(study), "--on", "debug", "--set", f"train.lr={DIVERGING}").code == 1
    (places / "x/data/train/red/1.png").unlink()
    done = bench_process("retry", study.stem, "--failed")
    assert done.code == 1
    assert f"the task {places / 'x/data'} is not the one" in done.err, done.err
    assert [
        json.loads(path.read_bytes())["status"] for path in home.runs.glob("*/record.json")
    ] == ["failed"]


def test_two_folders_called_alike_stay_two_where_something_is_missing(
    bench: Bench, preset: Path, places: Path
) -> None:
    block = {"task": ["x/data", "y/data"], "source": "real", "n": 6, "model": "absent"}
    study = write_study(places, preset, block)
    done = bench("sweep", str(study), "--dry-run", "--json")
    assert {run["task"] for run in done.json["runs"]} == {
        str(places / "x/data"), str(places / "y/data")
    }  # fmt: skip
