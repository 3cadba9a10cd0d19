"""Scores apart for classes seen and unseen in training, against counts made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from bench.core.records import Score
from bench.plugins.evaluation import Evaluation
from bench.steps.judge import Verdict, scores_of_classes
from eval.metrics.intervals import scores
from eval.metrics.of_classes import apart

NAMES = ("ant", "bee", "cat")


def of(evaluation: Evaluation, *empty: str, split: str = "test") -> list[Score]:
    return scores_of_classes([Verdict("knn", split, "last", evaluation)], NAMES, empty)


def test_images_count_in_the_part_of_their_own_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 2, 1, 2, 2])
    rows = of(Evaluation(predicted, labels, {"k": 5}), "cat", "ant")
    found = {(row.classes, row.metric): (row.value, row.n) for row in rows}
    assert found == {
        ("seen", "accuracy"): (1 / 2, 2),
        ("seen", "mean-per-class"): (1 / 2, 2),
        ("unseen", "accuracy"): (3 / 4, 4),
        ("unseen", "mean-per-class"): ((2 / 3 + 1) / 2, 4),
    }
    assert all(row.ci_low < row.value < row.ci_high for row in rows)
    assert {(row.evaluator, row.split, row.at_epoch) for row in rows} == {("knn", "test", "last")}
    assert rows[0].chosen == {"k": 5}


def test_there_is_nothing_apart_on_val_or_where_every_class_was_seen() -> None:
    evaluation = Evaluation(np.array([0, 1]), np.array([0, 1]), {})
    assert of(evaluation) == []
    assert of(evaluation, "ant", split="val") == []
    assert {row.classes for row in of(evaluation, "cat")} == {"seen"}  # It has no test image.


def test_images_without_a_label_are_in_no_part() -> None:
    nothing = np.full(4, -1)
    assert of(Evaluation(nothing, nothing, {}), "cat") == []
    some = Evaluation(np.array([2, -1]), np.array([2, -1]), {})
    assert {(row.classes, row.n) for row in of(some, "cat")} == {("unseen", 1)}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_the_parts_add_up_to_the_whole(answers: list[tuple[int, int]], seen: list[bool]) -> None:
    labels, predicted = np.array(answers).T
    whole = Evaluation(np.stack([predicted, labels]), labels, {})  # Two trials.
    parts = [part for _, part in apart(whole, np.array(seen))]
    assert sum(part.hits.sum() for part in parts) == pytest.approx(whole.hits.sum())
    assert sum(len(part.labels) for part in parts) == len(labels)
    assert all(part.predicted.shape == (2, len(part.labels)) for part in parts)


def test_of_several_labels_an_image_the_mean_is_over_the_part_s_classes() -> None:
    generator = np.random.default_rng(0)
    answers = generator.normal(size=(40, 3)).astype(np.float32)
    targets = generator.random((40, 3)) < 0.3
    nothing = np.full(40, -1)
    whole = Evaluation(answers.argmax(axis=1), nothing, {}, scores=answers, targets=targets)
    rows = of(whole, "bee")
    found = {(str(row.classes), row.metric): row for row in rows}
    for name, columns in (("seen", [0, 2]), ("unseen", [1])):
        each = [average_precision_score(targets[:, at], answers[:, at]) for at in columns]
        row = found[name, "mean-average-precision-plain"]
        assert row.value == pytest.approx(np.mean(each))
        assert row.n == 40
    alone = scores("knn", "test", "last", whole)
    assert {row.metric for row in alone} == {metric for _, metric in found}
