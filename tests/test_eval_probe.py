"""The linear probe: optimality for every penalty, against scikit-learn, and its protocol."""

import warnings

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from bench.evaluation import Evaluation
from bench.plugins import evaluators
from eval.linear_probe import PENALTIES, GridFit, LinearProbe, fit_grid
from tests.views import Data, View, blobs

torch.set_num_threads(1)


def digits() -> tuple[Data, Data]:
    """Real features, of unit length as the probe gets them; 400 to fit and 400 to judge."""
    pixels, labels = load_digits(return_X_y=True)
    features = (pixels / np.linalg.norm(pixels, axis=1, keepdims=True)).astype(np.float32)
    return (features[:400], labels[:400]), (features[400:800], labels[400:800])


@pytest.fixture(scope="module")
def grid() -> GridFit:
    (x, y), (val_x, val_y) = digits()
    return fit_grid(x, y, val_x, val_y)


def objective(weight: np.ndarray, bias: np.ndarray, data: Data, l2: float) -> float:
    """Summed cross-entropy plus half of l2 times the squared weights, in float64."""
    x, y = data
    scores = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    loss = logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]
    return float(loss.sum() + 0.5 * l2 * np.square(weight.astype(np.float64)).sum())


def reference(l2: float) -> LogisticRegression:
    """scikit-learn's optimum, with a tolerance that lets it get there."""
    (x, y), _ = digits()
    model = LogisticRegression(C=1 / l2, tol=1e-9, max_iter=20_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # At the smallest penalties it gives up near the optimum.
        return model.fit(x.astype(np.float64), y)


@pytest.mark.parametrize("index", [0, 9, 18, 24, 30, 36, 44])
def test_objective_is_scikit_learns_optimum(grid: GridFit, index: int) -> None:
    train, _ = digits()
    l2 = grid.l2[index]
    model = reference(l2)
    best = objective(model.coef_, model.intercept_, train, l2)
    ours = objective(grid.weights[index], grid.biases[index], train, l2)
    assert ours <= best * (1 + 1e-4)


def test_weights_are_scikit_learns(grid: GridFit) -> None:
    index = 30
    model = reference(grid.l2[index])
    np.testing.assert_allclose(grid.weights[index], model.coef_, atol=2e-3)


def test_gradient_vanishes_at_every_penalty(grid: GridFit) -> None:
    (x, y), _ = digits()
    for l2, weight, bias in zip(grid.l2, grid.weights, grid.biases, strict=True):
        residual = softmax(x.astype(np.float64) @ weight.T + bias, axis=1)
        residual[np.arange(len(y)), y] -= 1
        gradient = residual.T @ x + l2 * weight.astype(np.float64)
        # Against the size of its two terms, which cancel; float32 leaves 2e-5.
        assert np.linalg.norm(gradient) < 0.05 * np.linalg.norm(residual.T @ x) + 2e-5
        assert np.abs(residual.sum(axis=0)).max() < 0.05 * np.abs(residual).sum(axis=0).max() + 1e-6


def test_chosen_accuracy_is_scikit_learns_or_better(grid: GridFit) -> None:
    _, (val_x, val_y) = digits()
    theirs = max(reference(l2).score(val_x, val_y) for l2 in grid.l2[::4])
    assert grid.val_score.max() >= theirs - 1e-3


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(6, 60),
    dim=st.integers(1, 8),
    scale=st.sampled_from([1e-2, 1.0]),
    penalties=st.lists(st.sampled_from([1e-3, 0.1, 1.0, 50.0, 1e4]), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_any_problem_is_solved(
    n: int, dim: int, scale: float, penalties: list[float], seed: int
) -> None:
    """Few images, a constant feature, classes that overlap, any size, jumps in the path."""
    generator = np.random.default_rng(seed)
    x = (scale * generator.normal(size=(n, dim))).astype(np.float32)
    x[:, 0] = scale
    y = np.arange(n) % 3
    grid = fit_grid(x, y, x, y, penalties)
    for l2, weight, bias in zip(grid.l2, grid.weights, grid.biases, strict=True):
        model = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=5_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x.astype(np.float64), y)
        best = objective(model.coef_, model.intercept_, (x, y), l2)
        assert objective(weight, bias, (x, y), l2) <= best * 1.01 + 1e-6


def test_accuracies_are_those_of_the_weights(grid: GridFit) -> None:
    _, (val_x, val_y) = digits()
    for index in (0, 20, 40):
        scores = val_x @ grid.weights[index].T + grid.biases[index]
        accuracy = (grid.classes[scores.argmax(axis=1)] == val_y).mean()
        assert grid.val_accuracy[index] == pytest.approx(accuracy)


def test_the_metric_chooses_and_accuracies_are_given_all_the_same() -> None:
    (x, y), (val_x, val_y) = digits()
    rare = (val_y != 8) | (np.arange(len(val_y)) % 8 == 0)
    grids = [
        fit_grid(x, y, val_x[rare], val_y[rare], metric=metric)
        for metric in ("accuracy", "mean-per-class")
    ]
    np.testing.assert_array_equal(grids[0].val_accuracy, grids[1].val_accuracy)
    np.testing.assert_array_equal(grids[0].val_accuracy, grids[0].val_score)
    assert not np.array_equal(grids[1].val_accuracy, grids[1].val_score)
    assert grids[1].val_score[grids[1].best] == grids[1].val_score.max()


def test_a_path_may_start_from_any_penalty() -> None:
    """Scores of weights that small would be lost beside those of the intercepts."""
    train, (val_x, val_y) = digits()
    grid = fit_grid(*train, val_x, val_y, np.logspace(-2, 12, 57))
    for index in (0, 4, 8):
        model = reference(grid.l2[index])
        best = objective(model.coef_, model.intercept_, train, grid.l2[index])
        ours = objective(grid.weights[index], grid.biases[index], train, grid.l2[index])
        assert ours <= best * (1 + 1e-4)


def test_grid_is_45_penalties_and_ties_go_to_the_largest(grid: GridFit) -> None:
    np.testing.assert_allclose(PENALTIES[[0, -1]], [1e-6, 1e5])
    assert len(grid.val_score) == 45
    ties = np.flatnonzero(grid.val_score == grid.val_score.max())
    assert grid.best == ties[-1]


def test_grid_may_be_in_any_order_and_repeat_itself(grid: GridFit) -> None:
    (x, y), (val_x, val_y) = digits()
    few = fit_grid(torch.from_numpy(x), torch.from_numpy(y), val_x, val_y, [1.0, 1e-2, 1.0, 10.0])
    assert few.l2.tolist() == [1.0, 1e-2, 1.0, 10.0]
    assert few.val_score[0] == few.val_score[2]
    np.testing.assert_array_equal(few.weights[0], few.weights[2])
    assert np.linalg.norm(few.weights[3]) < np.linalg.norm(few.weights[1])


def test_classes_without_images_keep_their_numbers() -> None:
    (x, y), (val_x, val_y) = digits()
    some, val_some = np.isin(y, [2, 7, 9]), np.isin(val_y, [2, 7, 9])
    grid = fit_grid(x[some], y[some], val_x[val_some], val_y[val_some])
    assert grid.classes.tolist() == [2, 7, 9]
    assert grid.val_score.max() > 0.95


def test_more_dimensions_than_images() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(12, 40)).astype(np.float32)
    y = np.arange(12) % 3
    grid = fit_grid(x, y, x, y, [1e-6, 1.0])
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)
    best = objective(model.coef_, model.intercept_, (x, y), 1.0)
    assert objective(grid.weights[1], grid.biases[1], (x, y), 1.0) <= best * (1 + 1e-4)
    assert grid.val_score[0] == 1.0


def test_largest_penalty_still_tells_classes_apart() -> None:
    """There is next to nothing to gain in the objective, yet the direction is the optimum's."""
    (x, y), (val_x, val_y) = blobs(30, 1, 0.1), blobs(30, 2, 0.1)
    assert fit_grid(x, y, val_x, val_y, [1e7]).val_score == [1.0]


def accuracy(evaluation: Evaluation) -> float:
    return float((evaluation.predicted == evaluation.labels).mean())


@pytest.mark.parametrize("normalise", ["l2", "standardise"])
def test_separable_classes_are_told_apart_without_a_fault(normalise: str) -> None:
    view = View({name: blobs(30, seed, 0.01) for seed, name in enumerate(("train", "val", "test"))})
    probe = LinearProbe(LinearProbe.Options(normalise=normalise))  # type: ignore[arg-type]
    assert accuracy(probe.validate(view)) == 1.0
    assert view.opened == {"train", "val"}
    assert accuracy(probe.test(view)) == 1.0


def test_validation_reports_the_best_of_the_grid() -> None:
    view = View({"train": blobs(60, 1, 0.6), "val": blobs(60, 2, 0.6)})
    evaluation = LinearProbe(LinearProbe.Options()).validate(view)
    grid = fit_grid(*view.splits["train"], *view.splits["val"])
    assert evaluation.chosen == {
        "l2": grid.l2[grid.best],
        "val_score": pytest.approx(grid.val_score.max()),
    }
    assert accuracy(evaluation) == pytest.approx(grid.val_score.max())


def test_test_refits_on_train_and_val_with_the_chosen_penalty() -> None:
    view = View({"train": blobs(30, 5, 0.6), "val": blobs(30, 55, 0.6), "test": blobs(900, 3, 0.6)})
    probe = LinearProbe(LinearProbe.Options())
    evaluation = probe.test(view)
    assert evaluation.chosen == probe.validate(view).chosen
    assert evaluation.chosen["l2"] < 1  # Else the refit would be the path's first anyway.
    x = np.concatenate([view.features("train"), view.features("val")])
    y = np.concatenate([view.labels("train"), view.labels("val")])
    model = LogisticRegression(C=1 / evaluation.chosen["l2"], tol=1e-9, max_iter=10_000)
    model.fit(x.astype(np.float64), y)
    expected = model.predict(view.features("test").astype(np.float64))
    assert (expected == evaluation.predicted).mean() > 0.995


def test_standardising_does_not_depend_on_the_scale() -> None:
    splits = {"train": blobs(60, 1, 0.6), "val": blobs(60, 2, 0.6)}
    scaled = {name: (x * np.float32(100) + 5, y) for name, (x, y) in splits.items()}
    probe = LinearProbe(LinearProbe.Options(normalise="standardise"))
    left, right = probe.validate(View(splits)), probe.validate(View(scaled))
    np.testing.assert_array_equal(left.predicted, right.predicted)


def test_unknown_normalisation_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"normalise": "no"}, LinearProbe.Options)


def test_module_is_found_by_its_name() -> None:
    assert evaluators.get("linear-probe") is LinearProbe
    assert {"linear-probe", "zero-shot"} <= set(evaluators.names())


def test_each_model_gets_a_grid_of_its_own() -> None:
    names = ("train", "val", "test")
    views = [
        View({name: blobs(60, first + place, 0.6) for place, name in enumerate(names)})
        for first in (10, 20)
    ]
    shared = LinearProbe(LinearProbe.Options())
    for view in [*views, views[0]]:
        alone = LinearProbe(LinearProbe.Options())
        for judge in ("validate", "test"):
            ours, theirs = (getattr(probe, judge)(view) for probe in (shared, alone))
            np.testing.assert_array_equal(ours.predicted, theirs.predicted)
            assert ours.chosen == theirs.chosen
