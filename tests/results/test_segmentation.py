"""Runs that were segmented too: mIoU is shown beside accuracies, and never called one."""

import numpy as np
import polars as pl
import pytest

from bench.core.files import read_parquet
from bench.core.paths import Home
from results.comparisons.runs import compare_runs
from results.conclusions.choices import choices
from results.conclusions.conclusion import conclusions
from results.database import queries
from results.figures._scaling_caption import caption
from results.pairs import pair_table
from results.report.scores import scores
from results.tables.scores import Table
from results.wording import metric_names
from tests.support.records import IMAGES, STUDY, collected, score, write_run

SHARES = {"none": 0.20, "real": 0.30, "folder": 0.40}


def segmented(home: Home, source: str, seed: int = 0) -> str:
    """Leave a run that was probed and segmented; return its id."""
    share = SHARES[source] + seed / 100
    found = [
        score("val", 0.5), score("test", 0.5),
        score("val", share, "segmentation", "miou"), score("test", share, "segmentation", "miou"),
    ]  # fmt: skip
    n = 0 if source == "none" else 500
    run_id = write_run(home, source, n, seed=seed, scores=found).run_id
    path = home.run(run_id) / "predictions.parquet"
    rows = read_parquet(path).with_columns(correct=pl.lit(None, pl.Float64))
    added = share + np.random.default_rng(seed).normal(0, 0.05, IMAGES)
    added += share - added.mean()
    of_masks = pl.DataFrame(
        {
            "evaluator": "segmentation", "split": "test", "at_epoch": "chosen",
            "key": [f"validation/{index}" for index in range(IMAGES)], "predicted": -1,
            "label": pl.Series([None] * IMAGES, dtype=pl.Int64), "correct": added,
        }
    )  # fmt: skip
    kept = rows.filter(pl.col("evaluator") != "segmentation")
    pl.concat([kept, of_masks.select(kept.columns).cast(kept.schema)]).write_parquet(path)
    return run_id


@pytest.fixture
def study(home: Home) -> Home:
    segmented(home, "none")
    for source in ("real", "folder"):
        for seed in (0, 1, 2):
            segmented(home, source, seed)
    return home


def test_means_are_in_each_evaluators_own_metric(study: Home) -> None:
    with collected(study) as connection:
        means = queries.scaling(connection, STUDY)
        shown = scores(means)
        pairs = pair_table(connection, STUDY)
        titles = [sheet.title for sheet in Table.of(connection, STUDY).sheets()]
        said = " ".join(conclusions(connection, STUDY))
    figure = caption(STUDY, means, {}, published=[], caution="")
    found = {
        (row["label"], row["evaluator"]): (row["metric"], row["mean"])
        for row in means.to_dict("records")
    }
    assert found["real", "segmentation"] == ("miou", pytest.approx(0.31))
    assert found["real", "linear-probe"] == ("accuracy", 0.5)
    assert {"linear-probe accuracy", "segmentation mIoU"} <= {str(name) for name in shown.head}
    assert any("segmentation mIoU" in title for title in titles)
    assert not any("segmentation accuracy" in title for title in titles)
    assert dict(zip(pairs["evaluator"], pairs["metric"], strict=True)) == {
        "linear-probe": "accuracy", "segmentation": "miou",
    }  # fmt: skip
    assert "segmentation mIoU" in said
    assert metric_names(means["metric"]) == "accuracy or mIoU"
    assert figure.startswith("Test accuracy or mIoU over")


def test_arms_are_compared_image_by_image_in_points(study: Home) -> None:
    with collected(study) as connection:
        rows = pair_table(connection, STUDY).to_dict("records")
    of = ("segmentation", "folder", "real")
    (row,) = (row for row in rows if (row["evaluator"], row["a"], row["b"]) == of)
    assert row["difference"] == pytest.approx(0.1)
    assert row["ci_low"] <= 0.1 <= row["ci_high"]


def test_a_setting_that_segmentation_selects_is_chosen_by_its_miou(home: Home) -> None:
    from bench.core.specs import TrainSpec

    best = {1e-4: 0.2, 1e-3: 0.4}
    for lr, share in best.items():
        found = [
            score("val", 0.9 - share), score("test", 0.5),
            score("val", share, "segmentation", "miou"),
            score("test", share, "segmentation", "miou"),
        ]  # fmt: skip
        train = TrainSpec(lr=lr, select_by="segmentation")
        write_run(home, "real", 500, scores=found, train=train)
    with collected(home) as connection:
        settings = queries.settings(connection, STUDY).set_index("setting")
        said = " ".join(choices(connection, STUDY))
    chosen = settings[settings["is_chosen"]]
    assert list(chosen["validation"]) == [0.4]
    assert "segmentation mIoU on validation data 40.0 %" in said


def test_two_runs_are_compared_by_miou_on_the_same_images(home: Home) -> None:
    from bench.storage.run_folder import read_record

    records = [read_record(home, segmented(home, source)) for source in ("folder", "real")]
    assert records[0] is not None
    assert records[1] is not None
    found = compare_runs(home, (records[0], records[1]))
    (row,) = (row for row in found.rows if row.evaluator == "segmentation")
    assert row.metric == "miou"
    assert row.difference is not None
    assert row.difference.value == pytest.approx(0.1)
