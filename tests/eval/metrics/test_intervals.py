"""Metrics on hand-made cases, and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.stats import binomtest

from bench.core.intervals import wilson
from bench.plugins.evaluation import Evaluation
from eval.metrics.intervals import accuracy, mean_per_class, scores, value
from tests.support.tiny_clip import colour_task


def evaluation(right: list[int], n: list[int]) -> Evaluation:
    """Return an evaluation with so many right of so many images per class."""
    labels = np.repeat(np.arange(len(n)), n)
    hits = np.concatenate([np.arange(size) < count for count, size in zip(right, n, strict=True)])
    return Evaluation(np.where(hits, labels, len(n)), labels, {"l2": 0.5})


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_is_scipys(n: int, share: float) -> None:
    successes = round(share * n)
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    found = wilson(successes, n)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found[0] <= successes / n <= found[1]


def test_imbalanced_classes_by_hand() -> None:
    case = evaluation([90, 1], [90, 10])
    assert accuracy(case)[0] == pytest.approx(91 / 100)
    assert mean_per_class(case)[0] == pytest.approx((1 + 1 / 10) / 2)


def test_class_without_images_does_not_count() -> None:
    labels = np.array([0, 0, 3, 3])
    case = Evaluation(np.array([0, 0, 3, 1]), labels, {})
    assert mean_per_class(case)[0] == pytest.approx(0.75)


def test_one_class_has_wilsons_interval() -> None:
    case = evaluation([30], [40])
    assert mean_per_class(case) == pytest.approx(accuracy(case))


def test_perfect_score_still_has_an_interval() -> None:
    mean, low, high = mean_per_class(evaluation([20, 20], [20, 20]))
    assert (mean, high) == (1.0, 1.0)
    assert 0.85 < low < 0.95


@pytest.mark.parametrize("sizes", [[40] * 8, [5] * 30, [5] * 5 + [200] * 5])
@pytest.mark.parametrize("bounds", [(0.1, 0.5), (0.5, 0.9), (0.9, 1.0)])
def test_interval_of_the_class_mean_covers_it(
    sizes: list[int], bounds: tuple[float, float]
) -> None:
    generator = np.random.default_rng(0)
    truth = generator.uniform(*bounds, len(sizes))
    covered = 0
    for _ in range(400):
        _, low, high = mean_per_class(evaluation(list(generator.binomial(sizes, truth)), sizes))
        covered += low <= truth.mean() <= high
    assert covered / 400 > 0.915  # 95 % less three standard errors and a little.


def test_both_metrics_are_scored() -> None:
    case = evaluation([90, 1], [90, 10])
    both = {score.metric: score for score in scores("zero-shot", "test", "chosen", case)}
    assert set(both) == {"accuracy", "mean-per-class"}
    for metric, score in both.items():
        assert (score.evaluator, score.split, score.n) == ("zero-shot", "test", 100), metric
        assert score.ci_low < score.value < score.ci_high
        assert score.chosen == {"l2": 0.5}


def test_value_is_the_tasks_metric() -> None:
    case, task = evaluation([90, 1], [90, 10]), colour_task()
    assert value(case, task) == pytest.approx(0.91)
    other = replace(task, metric="mean-per-class")
    assert value(case, other) == pytest.approx(0.55)
