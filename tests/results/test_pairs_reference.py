"""All pairs from one matrix are what each pair is by itself, by the formulas written out."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from bench.core.paths import Home
from results.database import queries
from results.database.store import Connection
from results.experiment import Experiment
from results.labels import UNADAPTED
from results.pairs import Difference, Pair, differences
from results.statistics.paired import ENOUGH_SEEDS
from tests.support.many_records import write_many
from tests.support.records import collected

EXPERIMENT = Experiment("mini", "task-0", "clip", "ce")


@pytest.fixture
def study(home: Home) -> Home:
    """Three arms at seven sizes with three seeds, some with gaps, trials or another metric."""
    write_many(home, tasks=1, runs=64, images=80)
    random = np.random.default_rng(0)
    for index, path in enumerate(sorted(home.runs.glob("*/predictions.parquet"))):
        rows = pl.read_parquet(path, glob=False)
        if index % 5 == 0:  # Some images were neither scored nor answered.
            keys = rows["key"].unique().sort()
            left = keys.filter(pl.Series(random.random(len(keys)) < 0.95))
            rows = rows.filter(pl.col("key").is_in(left.implode()))
            record = path.with_name("record.json")
            record.write_text(record.read_text().replace('"n": 80,', f'"n": {len(left)},'))
        if index % 7 == 0:  # Each image was answered twice.
            rows = pl.concat([rows, rows.with_columns(predicted=pl.col("label"))])
        rows.write_parquet(path)
    return home


@pytest.mark.parametrize("metric", ["accuracy", "mean-per-class"])
def test_all_pairs_are_what_each_is_by_itself(study: Home, metric: str) -> None:
    if metric != "accuracy":
        for path in study.runs.glob("*/record.json"):
            named = path.read_text().replace(
                '"metric": "accuracy",\n    "epoch"', f'"metric": "{metric}",\n    "epoch"'
            )
            path.write_text(named)
    with collected(study) as connection:
        known = differences(connection, EXPERIMENT)
        assert len(known) == 2 * 7 * 6
        for pair, difference in known.items():
            assert_same(difference, by_itself(connection, pair, metric))
        for evaluator in ("linear-probe", "zero-shot"):
            family = [one for pair, one in known.items() if pair.evaluator == evaluator]
            assert [one.p_holm for one in family] == pytest.approx(
                holm([one.estimate.p for one in family]), abs=1e-12
            )
    assert {one.estimate.over_seeds for one in known.values()} == {True}
    assert any(not one.mcnemar for one in known.values())


def assert_same(difference: Difference, expected: dict[str, list[float]]) -> None:
    estimate = difference.estimate
    found = {
        "estimate": [estimate.value, estimate.low, estimate.high, estimate.p],
        "by_seed": difference.by_seed,
        "mcnemar": difference.mcnemar,
    }
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-12), name


def by_itself(connection: Connection, pair: Pair, metric: str) -> dict[str, list[float]]:
    """Compare two arms, image by image, as one query each and plain loops do."""
    arms = [pair.a, pair.b]
    table, shown = queries.answers(connection, EXPERIMENT, pair.evaluator, arms, pair.n)
    assert shown == metric
    classes = table.index.get_level_values("class").to_numpy()
    sides = [table.loc[:, [arm]] for arm in arms]
    left, right = (side.to_numpy() for side in sides)
    difference = left.mean(axis=1) - right.mean(axis=1)
    variance = spread(difference, classes, metric)
    parts = []
    for arm, side in zip(arms, (left, right), strict=True):
        if arm != UNADAPTED:
            scores = [mean(run, classes, metric) for run in side.T]
            assert len(scores) == ENOUGH_SEEDS
            parts.append(np.var(scores, ddof=1) / len(scores))
    error = np.sqrt(variance + sum(parts))
    doubt = sum(part**2 / (ENOUGH_SEEDS - 1) for part in parts)
    freedom = error**4 / doubt if doubt else np.inf
    value = mean(difference, classes, metric)
    margin = stats.t.ppf(0.975, freedom) * error
    runs = [(left[:, seed], right[:, min(seed, right.shape[1] - 1)]) for seed in range(3)]
    return {
        "estimate": [
            value, value - margin, value + margin, 2 * stats.t.sf(abs(value) / error, freedom)
        ],
        "by_seed": [mean(one - other, classes, metric) for one, other in runs],
        "mcnemar": [p for p in map(exact, runs) if p is not None],
    }  # fmt: skip


def mean(values: np.ndarray, classes: np.ndarray, metric: str) -> float:
    if metric == "accuracy":
        return float(values.mean())
    return float(np.mean([values[classes == each].mean() for each in np.unique(classes)]))


def spread(values: np.ndarray, classes: np.ndarray, metric: str) -> float:
    total = 0.0
    for each in np.unique(classes):
        rows = values[classes == each]
        n = len(rows)
        share = n / len(values) if metric == "accuracy" else 1 / len(np.unique(classes))
        total += share**2 * np.append(rows, 0.0).var(ddof=1) * (n + 1) / n**2
    return total


def exact(runs: tuple[np.ndarray, np.ndarray]) -> float | None:
    left, right = runs
    if not set(np.unique(np.concatenate(runs))) <= {0.0, 1.0}:
        return None
    ahead, behind = int((left > right).sum()), int((left < right).sum())
    return float(stats.binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0


def holm(values: list[float]) -> list[float]:
    corrected = {}
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        worst = max(worst, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = worst
    return [corrected[index] for index in range(len(values))]
