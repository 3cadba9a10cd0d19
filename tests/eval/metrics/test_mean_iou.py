"""mIoU by hand, its interval, and what each image adds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plugins.evaluation import Evaluation, Overlap
from eval.metrics import mean_iou
from eval.metrics.intervals import scores, value
from tests.support.tiny_clip import colour_task


def overlap(shared: list[list[int]], either: list[list[int]]) -> Overlap:
    return Overlap([str(row) for row in range(len(shared))], np.array(shared), np.array(either))


def test_pixels_are_summed_over_images_before_they_are_divided() -> None:
    """The first class: 1 of 4 and 4 of 4 pixels. The mean of the images' ratios would be 5 / 8."""
    found = overlap([[1, 6], [4, 0]], [[4, 12], [4, 0]])
    np.testing.assert_allclose(mean_iou.by_class(found), [5 / 8, 1 / 2])
    found = overlap([[1, 6], [4, 0]], [[4, 12], [6, 0]])
    np.testing.assert_allclose(mean_iou.by_class(found), [5 / 10, 6 / 12])


def test_a_class_in_neither_is_left_out_and_one_that_is_only_predicted_counts_0() -> None:
    found = overlap([[3, 0, 0]], [[4, 0, 2]])
    np.testing.assert_array_equal(mean_iou.by_class(found), [0.75, np.nan, 0.0])
    assert mean_iou.mean(found) == 0.75 / 2


images = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=3),
    min_size=1,
    max_size=8,
).filter(lambda rows: any(sum(pair) for row in rows for pair in row))


@settings(max_examples=60)
@given(images)
def test_what_images_add_has_the_mean_and_the_slope(rows: list[list[tuple[int, int]]]) -> None:
    shared = np.array([[a for a, _ in row] for row in rows])
    either = np.array([[a + b for a, b in row] for row in rows])
    found = Overlap([str(row) for row in range(len(rows))], shared, either)
    added = mean_iou.contributions(found)
    assert np.mean(added) == pytest.approx(mean_iou.mean(found))
    there, step = either.sum(axis=0) > 0, 1e-6
    for row in range(len(rows)):
        weights = np.ones(len(rows))
        weights[row] += step
        changed = np.mean((weights @ shared)[there] / np.maximum((weights @ either)[there], 1e-300))
        slope = (changed - mean_iou.mean(found)) / step
        assert added[row] == pytest.approx(mean_iou.mean(found) + len(rows) * slope, abs=1e-3)


def sample(n: int, seed: int) -> Overlap:
    """Return images of four classes whose ratios vary from image to image."""
    generator = np.random.default_rng(seed)
    there = generator.random((n, 4)) < [0.9, 0.6, 0.4, 0.3]
    either = generator.integers(20, 300, (n, 4)) * there
    shares = generator.beta(4, 2, (n, 4))
    return Overlap([str(row) for row in range(n)], (either * shares).astype(int), either)


def test_intervals_hold_the_value_over_all_images() -> None:
    truth = mean_iou.mean(sample(20_000, 0))
    ends = [mean_iou.interval(sample(60, seed)) for seed in range(1, 101)]
    held = np.mean([low <= truth <= high for low, high in ends])
    assert 0.87 <= held <= 0.99


def test_one_image_has_an_interval_and_the_score_is_of_miou_alone() -> None:
    found = overlap([[3, 1]], [[4, 2]])
    nothing = np.full(1, -1)
    evaluation = Evaluation(nothing, nothing, {"lr": 1.0}, overlap=found)
    (score,) = scores("segmentation", "test", "chosen", evaluation)
    assert (score.metric, score.value, score.n) == ("miou", 0.625, 1)
    assert score.ci_low == score.ci_high == 0.625
    assert value(evaluation, colour_task()) == 0.625
