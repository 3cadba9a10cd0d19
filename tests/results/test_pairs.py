"""Paired statistics: McNemar's test against scipy's binomial, and the table in the report."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bench.core.paths import Home
from results import store
from results.classes import gains, sentences
from results.mcnemar import mcnemar, spelt_p
from results.pairs import COLUMNS, paired
from results.report import write_report
from tests.results.test_results import STUDY, write_run


def answers(ahead: int, behind: int, both: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Return two runs' answers: so many images that one alone got right, and that both did."""
    left = np.repeat([1.0, 0.0, 1.0], [ahead, behind, both])
    right = np.repeat([0.0, 1.0, 1.0], [ahead, behind, both])
    return left, right


@given(ahead=st.integers(0, 300), behind=st.integers(0, 300))
def test_mcnemar_is_the_binomial_test(ahead: int, behind: int) -> None:
    expected = binomtest(ahead, ahead + behind).pvalue if ahead + behind else 1.0
    assert mcnemar(*answers(ahead, behind)) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    """Nine against one: 2 (1 + 10) / 1024; images that both know tell nothing."""
    assert mcnemar(*answers(9, 1)) == mcnemar(*answers(1, 9, both=500)) == 22 / 1024
    assert mcnemar(*answers(4_000, 1_000)) < 1e-300  # type: ignore[operator]


@pytest.mark.parametrize(
    ("left", "right"), [([0.5, 1.0], [0.0, 1.0]), ([0.5, 1.0, 0.5], [0.5, 0.0, 0.5])]
)
def test_averages_of_draws_have_no_mcnemar(left: list[float], right: list[float]) -> None:
    assert mcnemar(np.array(left), np.array(right)) is None


def test_p_values_of_seeds_are_a_range() -> None:
    assert spelt_p([0.04]) == "0.040"
    assert spelt_p([0.2, 0.0001, 0.04]) == "< 0.001 to 0.200"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two seeds of two arms at one n, one arm alone at another, and the unadapted model."""
    home = Home(tmp_path / "home")
    write_run(home, "none", 0, right=70)
    for seed in (0, 1):
        write_run(home, "retrieved", 500, right=90, seed=seed)
        write_run(home, "synthetic", 500, right=80 + seed, seed=seed)
    write_run(home, "retrieved", 1_000, right=95)
    return home


def table(home: Home) -> pd.DataFrame:
    store.collect(home)
    with store.reading(home) as connection:
        return paired(connection, STUDY)


def row(found: pd.DataFrame, n: int, a: str, b: str) -> "pd.Series[float]":
    """Return the one row of a pair."""
    (index,) = found.index[(found["n_used"] == n) & (found["a"] == a) & (found["b"] == b)]
    own: pd.Series[float] = found.loc[index]
    return own


def test_every_pair_of_arms_and_each_against_the_unadapted(home: Home) -> None:
    found = table(home)
    assert list(found.columns) == COLUMNS
    assert set(zip(found["n_used"], found["a"], found["b"], strict=True)) == {
        (500, "retrieved", "synthetic"),
        (500, "retrieved", "none"),
        (500, "synthetic", "none"),
        (1000, "retrieved", "none"),
    }
    pair = row(found, 500, "retrieved", "synthetic")
    assert pair["difference"] == pytest.approx((90 - 80.5) / 200)
    assert pair["ci_low"] < pair["difference"] < pair["ci_high"]
    assert (pair["seed_difference_min"], pair["seed_difference_max"]) == pytest.approx(
        (0.045, 0.05)
    )
    # Nine and ten images that retrieved ones alone got right.
    assert (pair["p_mcnemar_min"], pair["p_mcnemar_max"]) == (2 / 2**10, 2 / 2**9)
    assert row(found, 1000, "retrieved", "none")["difference"] == pytest.approx(25 / 200)
    assert (pair["seeds_a"], pair["seeds_b"]) == (2, 2)


def test_every_seed_is_compared_with_the_one_run_of_the_unadapted_model(home: Home) -> None:
    pair = row(table(home), 500, "synthetic", "none")
    assert (pair["seeds_a"], pair["seeds_b"]) == (2, 1)
    assert (pair["seed_difference_min"], pair["seed_difference_max"]) == pytest.approx(
        (0.05, 0.055)
    )
    # Ten images at seed 0, eleven at seed 1.
    assert (pair["p_mcnemar_min"], pair["p_mcnemar_max"]) == (2 / 2**11, 2 / 2**10)


@pytest.mark.parametrize(("one", "other"), [("retrieved", "synthetic"), ("synthetic", "none")])
def test_one_difference_is_the_other_reversed(home: Home, one: str, other: str) -> None:
    from results.queries import paired_difference

    store.collect(home)
    with store.reading(home) as connection:
        there, back = (
            paired_difference(connection, STUDY, "linear-probe", 500, a=a, b=b)
            for a, b in ((one, other), (other, one))
        )
    assert there is not None
    assert back is not None
    assert there.estimate.value == pytest.approx(-back.estimate.value)
    assert there.seed_differences == pytest.approx([-value for value in back.seed_differences])
    assert there.mcnemar == back.mcnemar
    assert len(there.mcnemar) == 2


def test_draws_of_one_image_are_averaged_and_not_counted_twice(home: Home) -> None:
    store.collect(home)
    before = row(table(home), 500, "retrieved", "synthetic")
    for path in home.runs.glob("*/predictions.parquet"):
        rows = pl.read_parquet(path)
        pl.concat([rows, rows.with_columns(predicted=pl.col("label"))]).write_parquet(path)
    after = row(table(home), 500, "retrieved", "synthetic")
    # The second draw knows everything, in both arms.
    assert after["difference"] == pytest.approx(before["difference"] / 2)
    assert np.isnan(after["p_mcnemar_min"])


def test_the_report_shows_and_writes_them(home: Home, tmp_path: Path) -> None:
    paths = write_report(home, tmp_path / "out")
    (file,) = (path for path in paths.tables if path.name.endswith("-differences.csv"))
    assert len(pd.read_csv(file)) == 4
    page = paths.html.read_text()
    assert "4 differences on the same test images" in page
    assert "retrieved less unadapted" in page


def test_classes_that_gained_and_lost(home: Home, tmp_path: Path) -> None:
    """The first 70 images are right unadapted; here a run knows all of class 2 and no other."""
    spoilt = write_run(home, "real", 2_000)
    path = home.run(spoilt.run_id) / "predictions.parquet"
    pl.read_parquet(path).with_columns(predicted=pl.lit(2)).write_parquet(path)
    store.collect(home)
    with store.reading(home) as connection:
        found = gains(connection, STUDY, "linear-probe")
        (sentence,) = (
            text for text in sentences(connection, STUDY, ["linear-probe"]) if "real" in text
        )
    own = found[found["arm"] == "real"].set_index("class")
    # Images 0 to 69 are right unadapted: 18, 18, 17 and 17 of 50 in each class.
    np.testing.assert_allclose(own["gain"].loc[[0, 1, 2, 3]], [-0.36, -0.36, 0.66, -0.34])
    assert "1 of 4 classes gained, most of all MD-80 +66.0 (of 50 images)" in sentence
    assert "3 of 4 classes lost, most of all" in sentence
    assert set(found.loc[found["arm"] == "retrieved", "n_used"]) == {1_000}
    page = write_report(home, tmp_path / "out").html.read_text()
    assert sentence.replace("+", "&#43;") in page or sentence in page


def test_without_a_pair_there_is_an_empty_table(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    write_run(home, "retrieved", 500)
    assert table(home).empty
    write_report(home, tmp_path / "out")
