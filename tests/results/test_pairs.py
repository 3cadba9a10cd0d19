"""Every pair of arms on the same test images."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bench.core.paths import Home
from results.pairs import COLUMNS, pair_table, paired_difference, readable
from results.report.page import write_report
from tests.support.records import STUDY, collected, score, write_run


@pytest.fixture
def study(home: Home) -> Home:
    """Two seeds of two arms at one n, one arm alone at another, and the unadapted model."""
    write_run(home, "none", 0, right=70)
    for seed in (0, 1):
        write_run(home, "retrieved", 500, right=90, seed=seed)
        write_run(home, "synthetic", 500, right=80 + seed, seed=seed)
    write_run(home, "retrieved", 1_000, right=95)
    return home


def table(home: Home) -> pd.DataFrame:
    with collected(home) as connection:
        return pair_table(connection, STUDY)


def row(pairs: pd.DataFrame, n: int, a: str, b: str) -> "pd.Series[float]":
    """Return the one row of a pair."""
    (index,) = pairs.index[(pairs["n_used"] == n) & (pairs["a"] == a) & (pairs["b"] == b)]
    values: pd.Series[float] = pairs.loc[index]
    return values


def seed_range(pair: "pd.Series[float]") -> tuple[float, float]:
    return pair["seed_difference_min"], pair["seed_difference_max"]


def test_every_pair_of_arms_and_each_against_the_unadapted(study: Home) -> None:
    pairs = table(study)
    assert list(pairs.columns) == COLUMNS
    assert set(zip(pairs["n_used"], pairs["a"], pairs["b"], strict=True)) == {
        (500, "retrieved", "synthetic"),
        (500, "retrieved", "none"),
        (500, "synthetic", "none"),
        (1000, "retrieved", "none"),
    }
    pair = row(pairs, 500, "retrieved", "synthetic")
    assert pair["difference"] == pytest.approx((90 - 80.5) / 200)
    assert pair["ci_low"] < pair["difference"] < pair["ci_high"]
    assert seed_range(pair) == pytest.approx((0.045, 0.05))
    # Nine and ten images that retrieved ones alone got right.
    assert (pair["p_mcnemar_min"], pair["p_mcnemar_max"]) == pytest.approx((2 / 2**10, 2 / 2**9))
    assert row(pairs, 1000, "retrieved", "none")["difference"] == pytest.approx(25 / 200)
    assert (pair["seeds_a"], pair["seeds_b"]) == (2, 2)


def test_p_values_are_corrected_for_all_pairs_of_an_evaluator(home: Home) -> None:
    """Holm's correction of three p-values by hand; another evaluator is another family."""
    scores = [score("test", 0.5, name) for name in ("linear-probe", "zero-shot")]
    for source, right in (("none", 100), ("retrieved", 112), ("synthetic", 108)):
        for seed in (0, 1, 2) if source != "none" else (0,):
            write_run(home, source, 500, right + seed, seed=seed, scores=scores)
    pairs = table(home)
    assert pairs["over_seeds"].all()
    for _, family in pairs.groupby("evaluator"):
        p, q, r = sorted(family["p"])
        assert p < q < r
        assert sorted(family["p_holm"]) == pytest.approx([3 * p, max(3 * p, 2 * q), max(2 * q, r)])
    alone = pairs[pairs["evaluator"] == "zero-shot"].drop(columns="evaluator")
    both = pairs[pairs["evaluator"] == "linear-probe"].drop(columns="evaluator")
    pd.testing.assert_frame_equal(alone.reset_index(drop=True), both.reset_index(drop=True))


def test_a_table_says_what_each_interval_is_over(study: Home) -> None:
    for source, right in (("retrieved", 90), ("synthetic", 79)):
        write_run(study, source, 500, right=right, seed=2)
    pairs = table(study)
    assert dict(zip(pairs["n_used"], pairs["over_seeds"], strict=True)) == {500: True, 1000: False}
    shown = readable(pairs)
    assert list(shown["over"]) == ["test images and seeds"] * 3 + ["test images"]
    assert {"p", "Holm's p"} <= set(shown.columns)


def test_every_seed_is_compared_with_the_one_run_of_the_unadapted_model(study: Home) -> None:
    pair = row(table(study), 500, "synthetic", "none")
    assert (pair["seeds_a"], pair["seeds_b"]) == (2, 1)
    assert seed_range(pair) == pytest.approx((0.05, 0.055))
    # Ten images at seed 0, eleven at seed 1.
    assert (pair["p_mcnemar_min"], pair["p_mcnemar_max"]) == pytest.approx((2 / 2**11, 2 / 2**10))


@pytest.mark.parametrize(("one", "other"), [("retrieved", "synthetic"), ("synthetic", "none")])
def test_one_difference_is_the_other_reversed(study: Home, one: str, other: str) -> None:
    with collected(study) as connection:
        there, back = (
            paired_difference(connection, STUDY, "linear-probe", 500, a=a, b=b)
            for a, b in ((one, other), (other, one))
        )
        assert paired_difference(connection, STUDY, "linear-probe", 50) is None
    assert there is not None
    assert back is not None
    assert there.estimate.value == pytest.approx(-back.estimate.value)
    assert there.by_seed == pytest.approx([-value for value in back.by_seed])
    assert there.mcnemar == back.mcnemar
    assert len(there.mcnemar) == 2


def test_trials_of_one_image_are_averaged_and_not_counted_twice(study: Home) -> None:
    before = row(table(study), 500, "retrieved", "synthetic")
    for path in study.runs.glob("*/predictions.parquet"):
        rows = pl.read_parquet(path, glob=False)
        pl.concat([rows, rows.with_columns(predicted=pl.col("label"))]).write_parquet(path)
    after = row(table(study), 500, "retrieved", "synthetic")
    # The second trial knows everything, in both arms.
    assert after["difference"] == pytest.approx(before["difference"] / 2)
    assert np.isnan(after["p_mcnemar_min"])


def test_the_report_shows_and_writes_them(study: Home, tmp_path: Path) -> None:
    paths = write_report(study, tmp_path / "out")
    (file,) = (path for path in paths.tables if path.name.endswith("-differences.csv"))
    assert len(pd.read_csv(file)) == 4
    page = paths.html.read_text()
    assert "4 differences on the same test images" in page
    assert "retrieved less unadapted" in page
    lonely = Home(tmp_path / "lonely")
    write_run(lonely, "retrieved", 500)
    assert table(lonely).empty
    write_report(lonely, tmp_path / "out")


@pytest.mark.parametrize(("of_source", "tested"), [(2, False), (3, True)])
def test_runs_that_share_images_are_tested_by_the_seeds_of_either_kind(
    home: Home, of_source: int, tested: bool
) -> None:
    for seed, source_seed in product(range(3), range(of_source)):
        right = 100 + 20 * source_seed
        write_run(home, "synthetic", 100, right, seed=seed, options={"seed": source_seed})
    for seed in range(3):
        write_run(home, "retrieved", 100, right=130 + seed, seed=seed)
    pair = row(table(home), 100, "retrieved", "synthetic")
    assert pair["over_seeds"] == tested
    assert pair["seeds_b"] == 3 * of_source
    if tested:  # Three samples of images differ by up to 20 points, however often each is used.
        assert pair["p"] > 0.2


def test_seeds_of_the_source_in_step_with_those_of_runs_are_the_same_replicates(home: Home) -> None:
    for seed in range(3):
        write_run(home, "synthetic", 100, 100, seed=seed, options={"seed": seed})
        write_run(home, "retrieved", 100, right=130 + seed, seed=seed)
    pair = row(table(home), 100, "retrieved", "synthetic")
    assert seed_range(pair) == pytest.approx((0.15, 0.16))
    assert pair["over_seeds"]
