"""What `results.load` gives whoever goes on in Python."""

from pathlib import Path

import pytest

import results
from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.storage.study_folder import StudyFolder, Submitted
from tests.support.records import write_run


def start(home: Home, run_id: str) -> None:
    """Leave a study of one run."""
    StudyFolder(home, "mine").submit(Submitted(name="mine", runs={run_id: "a run"}, on="local"))


def test_a_row_per_run_and_score(home: Home) -> None:
    best = write_run(home, "retrieved", 100, right=120, val=0.9)
    write_run(home, "retrieved", 100, val=0.1, lr=1e-3)
    failed = write_run(home, "synthetic", 100, status="failed", error="disk full", scores=[])
    frame = results.load(home=home.root)
    assert len(frame) == 2 + 2 + 1
    test = frame[frame["is_selected"] & (frame["split"] == "test")]
    assert test[["run_id", "label", "n_used", "value"]].to_numpy().tolist() == [
        [best.run_id, "retrieved", 100, 0.6]
    ]
    (row,) = frame[frame["run_id"] == failed.run_id].to_dict("records")
    assert (row["status"], row["error"]) == ("failed", "disk full")
    assert row["evaluator"] is None


def test_a_study_has_its_own_runs_alone(home: Home) -> None:
    mine = write_run(home, "retrieved", 100)
    write_run(home, "retrieved", 200)
    start(home, mine.run_id)
    assert set(results.load("mine", home=home.root)["run_id"]) == {mine.run_id}
    with pytest.raises(RequestError, match="did you mean mine"):
        results.load("mime", home=home.root)


def test_what_cannot_be_read_is_warned_of(home: Home) -> None:
    write_run(home, "retrieved", 100)
    (home.runs / "bad").mkdir()
    (home.runs / "bad" / "record.json").write_text("{")
    with pytest.warns(UserWarning, match="bad/record.json"):
        assert len(results.load(home=home.root)) == 2


def test_a_study_is_found_by_its_file(home: Home, tmp_path: Path) -> None:
    run = write_run(home, "retrieved", 100)
    start(home, run.run_id)
    file = tmp_path / "file.yaml"
    file.write_text("name: mine\npreset: mini\ngrid: [{product: {task: aircraft, n: 64}}]\n")
    assert set(results.load(file, home=home.root)["run_id"]) == {run.run_id}
