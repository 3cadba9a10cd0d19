"""A user's own folder: from images as they lie there to a record that says what was assumed."""

import shutil
from pathlib import Path

import pytest

from bench.steps import loaded
from eval.features import task_images
from tests.conftest import Bench
from tests.support.command_line import request

EVALUATORS = (
    *("zero-shot-text", "linear-probe", "knn", "per-class", "finetuned-head"),
    "few-shot.trials",
)


def test_classes_that_a_split_lacks_do_not_stop_a_run_and_are_recorded(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(colours, tmp_path / "own")
    shutil.rmtree(root / "val")
    (root / "train").rename(root / "Training")
    shutil.move(root / "Training/red", root / "only-red")
    (root / "test/lonely").mkdir()
    shutil.copy(colours / "test/green/0.png", root / "test/lonely/0.png")
    (root / "Training/single").mkdir()
    shutil.copy(root / "only-red/0.png", root / "Training/single/0.png")
    (root / "Training/single/._0.png").write_bytes(b"x")
    more = [
        f"--set=evaluators.{name}={2 if name.endswith('trials') else {}}" for name in EVALUATORS
    ]
    outcome = bench(*request(preset, root, *more))
    assert outcome.code == 0, outcome.err
    record = outcome.json
    assert record["task_notes"] == [
        f"{root}: 9 of 42 files not read: 8 outside the class folders, 1 hidden",
        f"{root}: Training is train; each class's train images are split 80/20 by content, copies "
        "together: train 13, val 4",
        f"{root}: of 5 classes, train has no image of 2 (lonely, red); val has no image of 3 "
        "(lonely, red, single); test has no image of 1 (single)",
    ]
    for note in record["task_notes"]:
        assert outcome.err.count(note) == 1
    assert {score["evaluator"] for score in record["scores"]} >= {"linear-probe", "few-shot-1"}
    shown = bench("show", str(root))
    assert shown.code == 0
    assert [line[2:] for line in shown.out.splitlines() if line.startswith("# ")] == (
        record["task_notes"]
    )
    assert record["task_notes"][1] in bench("show", record["run_id"]).out


def test_a_run_from_decoded_images_on_disk_scores_the_same(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = request(preset, colours, "--set=evaluators.linear-probe={}")
    records = []
    for root in ("memory", "disk"):
        monkeypatch.setenv("BENCH_HOME", str(tmp_path / root))
        loaded.task_images_of.cache_clear()
        outcome = bench(*words)
        assert outcome.code == 0, outcome.err
        records.append(outcome.json)
        monkeypatch.setattr(task_images, "LEAST_PIXEL_BYTES", 0)
        monkeypatch.setattr(task_images, "KEPT_BYTES", 0)
    loaded.task_images_of.cache_clear()
    assert records[0]["scores"] == records[1]["scores"]
    assert not [*(tmp_path / "memory/data").glob("pixels-*")]
    assert len([*(tmp_path / "disk/data").glob("pixels-*")]) == 3
