"""Average precision against its definitions, and what its intervals and shares promise."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from bench.core.arrays import FloatArray, TargetArray
from bench.core.errors import RequestError
from bench.core.task import Task
from bench.plugins.evaluation import Evaluation
from eval.metrics import average_precision
from eval.metrics.average_precision import AREA, ELEVEN_POINTS, PLAIN
from eval.metrics.intervals import scores, value
from tests.support.tiny_clip import colour_task


def curve(scores: NDArray[np.float64], has: TargetArray) -> tuple[list[float], list[float]]:
    """Return recall and precision at every threshold, the highest first, by counting."""
    kept = [scores >= threshold for threshold in sorted(set(scores.tolist()), reverse=True)]
    found = [int((above & has).sum()) for above in kept]
    recall = [count / int(has.sum()) for count in found]
    return recall, [count / int(above.sum()) for count, above in zip(found, kept, strict=True)]


def vocs(scores: NDArray[np.float64], has: TargetArray) -> float:
    """Return the average precision as ``VOCap.m`` of 2012 computes it."""
    recall, precision = curve(scores, has)
    at, height = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for index in range(len(height) - 2, -1, -1):
        height[index] = max(height[index], height[index + 1])
    return sum((at[i] - at[i - 1]) * height[i] for i in range(1, len(at)))


def vocs_of_2007(scores: NDArray[np.float64], has: TargetArray) -> float:
    """Return the mean of the highest precisions at eleven recalls or more."""
    recall, precision = curve(scores, has)
    points = list(zip(recall, precision, strict=True))
    reached = [[p for r, p in points if r >= point / 10 - 1e-12] for point in range(11)]
    return sum(max(heights, default=0.0) for heights in reached) / 11


rankings = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        # Few values, so that many are equal.
        arrays.arrays(np.float32, n, elements=st.integers(-5, 5).map(lambda x: x / 8)),
        arrays.arrays(np.bool_, n).filter(lambda has: bool(has.any())),
    )
)


@given(rankings)
def test_one_class_is_vocs_definition(ranking: tuple[FloatArray, TargetArray]) -> None:
    given_scores, has = ranking
    columns = given_scores[:, None], has[:, None]
    plain = given_scores.astype(np.float64)
    assert average_precision.mean(*columns) == pytest.approx(vocs(plain, has), abs=1e-12)
    eleven = average_precision.mean(*columns, ELEVEN_POINTS)
    assert eleven == pytest.approx(vocs_of_2007(plain, has), abs=1e-12)


@given(rankings)
def test_the_plain_one_is_scikit_learns(ranking: tuple[FloatArray, TargetArray]) -> None:
    given_scores, has = ranking
    found = average_precision.mean(given_scores[:, None], has[:, None], PLAIN)
    assert found == pytest.approx(average_precision_score(has, given_scores), abs=1e-12)


def test_eleven_points_by_hand() -> None:
    # Precision 1, 2/3 and 3/5 at the recalls 1/3, 2/3 and 1: four, three and four of the points.
    shown = np.array([[0.9], [0.8], [0.7], [0.6], [0.5]], np.float32)
    has = np.array([[True], [False], [True], [False], [True]])
    expected = (4 * 1 + 3 * 2 / 3 + 4 * 3 / 5) / 11
    assert average_precision.mean(shown, has, ELEVEN_POINTS) == pytest.approx(expected)
    # A wrong image on top: no point, not even that of recall 0, has precision 1.
    below = np.array([[0.9], [0.8]], np.float32), np.array([[False], [True]])
    assert average_precision.mean(*below, ELEVEN_POINTS) == pytest.approx(1 / 2)


@given(rankings)
def test_it_is_scikit_learns_where_precision_never_rises(
    ranking: tuple[FloatArray, TargetArray],
) -> None:
    given_scores, has = ranking
    found = average_precision.mean(given_scores[:, None], has[:, None])
    reference = average_precision_score(has, given_scores)
    _, precision = curve(given_scores.astype(np.float64), has)
    if precision == sorted(precision, reverse=True):
        assert found == pytest.approx(reference, abs=1e-12)
    # Raising precisions only adds.
    assert found >= reference - 1e-12


def test_a_rising_precision_by_hand() -> None:
    # Precision 0, 1/2, 2/3: both positives get the highest at their recall or more, 2/3.
    columns = np.array([[0.9], [0.8], [0.7]], np.float32), np.array([[False], [True], [True]])
    assert average_precision.mean(*columns) == pytest.approx(2 / 3)
    assert average_precision_score(columns[1][:, 0], columns[0][:, 0]) == pytest.approx(7 / 12)


def case(n: int, seed: int = 0, signal: float = 1.0) -> tuple[FloatArray, TargetArray]:
    """Return scores of 6 classes that know something of the targets, the last without images."""
    generator = np.random.default_rng(seed)
    targets = generator.random((n, 6)) < [0.5, 0.3, 0.2, 0.1, 0.1, 0.0]
    noise = generator.normal(size=targets.shape)
    return (signal * targets + noise).astype(np.float32), targets


def interval(shown: FloatArray, targets: TargetArray) -> tuple[float, float]:
    (both,) = average_precision.intervals(shown, targets, [AREA])
    return both


def test_a_class_without_images_is_left_out() -> None:
    shown, targets = case(300)
    values = average_precision.by_class(shown, targets)
    assert np.isnan(values).tolist() == [False] * 5 + [True]
    assert average_precision.mean(shown, targets) == pytest.approx(values[:-1].mean())


def test_what_images_add_has_the_mean_average_precision_as_its_mean() -> None:
    shown, targets = case(400)
    shown = shown.round(1)
    added = average_precision.contributions(shown, targets)
    assert added.mean() == pytest.approx(average_precision.mean(shown, targets), abs=1e-12)


def test_what_an_image_adds_is_what_its_weight_changes() -> None:
    shown, targets = case(80, seed=3)
    shown = shown.round(1)
    added = average_precision.contributions(shown, targets)
    copies = 400
    whole = np.repeat(shown, copies, axis=0), np.repeat(targets, copies, axis=0)
    value_of_all = average_precision.mean(*whole)
    for row in range(0, 80, 7):
        again = [*range(len(whole[0])), copies * row]
        more = average_precision.mean(whole[0][again], whole[1][again])
        slope = (more - value_of_all) * len(whole[0])
        assert added[row] - value_of_all == pytest.approx(slope, rel=0.03, abs=0.02)


def test_their_spread_is_that_of_other_images() -> None:
    values, errors = [], []
    for seed in range(300):
        shown, targets = case(400, seed)
        values.append(average_precision.mean(shown, targets))
        added = average_precision.contributions(shown, targets)
        errors.append(np.sqrt(added.var(ddof=1) / len(added)))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


def test_the_interval_covers_the_value_over_all_images() -> None:
    truth = average_precision.mean(*case(100_000, 999))
    held = 0
    for seed in range(60):
        low, high = interval(*case(400, seed))
        held += low <= truth <= high
    assert held >= 54


def test_the_interval_holds_the_value_and_is_the_same_every_time() -> None:
    shown, targets = case(60, signal=9.0)
    assert average_precision.mean(shown, targets) == 1.0
    first = interval(shown, targets)
    assert first[1] == 1.0
    assert first == interval(shown, targets)


def multi_label() -> Task:
    return msgspec.structs.replace(colour_task(), metric="mean-average-precision")


def test_scores_have_every_average_precision() -> None:
    shown, targets = case(50)
    labels = np.full(50, -1)
    evaluation = Evaluation(shown.argmax(axis=1), labels, {}, scores=shown, targets=targets)
    rows = {row.metric: row for row in scores("zero-shot", "val", "chosen", evaluation)}
    eleven, plain = "mean-average-precision-11", "mean-average-precision-plain"
    assert list(rows) == ["mean-average-precision", eleven, plain]
    assert rows["mean-average-precision"].value == value(evaluation, multi_label())
    for metric, summary in ((eleven, ELEVEN_POINTS), (plain, PLAIN)):
        expected = average_precision.mean(shown, targets, summary)
        assert rows[metric].value == pytest.approx(expected)
    assert all(row.ci_low < row.value < row.ci_high and row.n == 50 for row in rows.values())


def test_an_evaluator_without_scores_is_told_what_is_missing() -> None:
    evaluation = Evaluation(np.zeros(5, np.int64), np.full(5, -1), {})
    with pytest.raises(RequestError, match="no scores per class"):
        value(evaluation, multi_label())
