"""A run whose training images lack a class: its scores apart for classes seen and unseen."""

from pathlib import Path

import msgspec
import polars as pl
import pytest

from bench.core.paths import Home
from bench.core.records import RunRecord
from tests.conftest import Bench
from tests.support.command_line import request


def test_test_images_of_unseen_classes_are_scored_apart_where_there_are_any(
    bench: Bench, preset: Path, colours: Path, home: Home, tmp_path: Path
) -> None:
    names = sorted(folder.name for folder in (colours / "train").iterdir())
    images = tmp_path / "images"
    images.mkdir()
    for name in names[:2]:
        (images / name).symlink_to(colours / "train" / name)
    more = ["--set", f"source.path={images}", "--set", "evaluators.linear-probe={}"]
    words = request(preset, colours, *more, source="folder")
    done = bench(*words)
    assert done.code == 0, done.err
    record = msgspec.convert(done.json, RunRecord)
    assert record.empty_classes == names[2:]
    answers = pl.read_parquet(home.run(record.run_id) / "predictions.parquet")
    parts = [score for score in record.scores_of_classes if score.metric == "accuracy"]
    assert {score.split for score in record.scores_of_classes} == {"test"}
    for score in (one for one in parts if one.at_epoch == "chosen"):
        rows = answers.filter(pl.col("evaluator") == score.evaluator, at_epoch="chosen")
        unseen = rows["label"] == 2
        rows = rows.filter(unseen if score.classes == "unseen" else ~unseen)
        assert score.n == rows.height == {"seen": 10, "unseen": 5}[score.classes]
        assert score.value == pytest.approx((rows["label"] == rows["predicted"]).mean())
        assert score.ci_low < score.ci_high
    assert {score.evaluator for score in parts} == {"zero-shot", "linear-probe"}

    told = bench(*words[: words.index("--json")], *words[words.index("--json") + 1 :])
    assert "images of unseen classes" in told.out
    assert '"scores_of_classes"' in bench("show", record.run_id).out
    table = bench("export", "--table", "classes", "--out", "-")
    rows = pl.read_csv(table.out.encode())
    assert rows["evaluator"].to_list() == ["linear-probe", "zero-shot"]
    assert rows["unseen_images"].to_list() == [5, 5]

    whole = bench(*request(preset, colours))
    assert whole.json["scores_of_classes"] == []
    assert {score["classes"] for score in whole.json["scores"]} == {"all"}
