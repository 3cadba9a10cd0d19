"""The grid of probes: optimality for every penalty, against scikit-learn, and the choice."""

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.overrides import TorchFunctionMode

from eval.probe.grid import PENALTIES, GridFit, fit_grid, within_one_error
from tests.support.clip_like import embeddings
from tests.support.views import Data, blobs

torch.set_num_threads(1)


def digits() -> tuple[Data, Data]:
    """Real features, of unit length as the probe gets them; 400 to fit and 400 to validate."""
    pixels, labels = load_digits(return_X_y=True)
    features = (pixels / np.linalg.norm(pixels, axis=1, keepdims=True)).astype(np.float32)
    return (features[:400], labels[:400]), (features[400:800], labels[400:800])


TRAIN, VAL = digits()
RARE = (VAL[1] != 8) | (np.arange(400) % 8 == 0)
"""The validation images with few of one class."""


@pytest.fixture(scope="module")
def grid() -> GridFit:
    return fit_grid(*TRAIN, *VAL)


def objective(weight: Any, bias: Any, data: tuple[Any, Any], l2: float) -> float:
    """Summed cross-entropy plus half of l2 times the squared weights, in float64."""
    x, y = data
    scores = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    loss = logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]
    return float(loss.sum() + 0.5 * l2 * np.square(weight.astype(np.float64)).sum())


def assert_optimal(
    grid: GridFit, index: int, model: LogisticRegression, train: Data, ours: Any = None
) -> None:
    """Compare the objective of one of the fits with scikit-learn's, each in float64."""
    l2 = grid.l2[index]
    best = objective(model.coef_, model.intercept_, train, l2)
    fit = objective(grid.weights[index], grid.biases[index], ours or train, l2)
    assert fit <= best * (1 + 1e-4)


def sklearns(data: Data, l2: float, tol: float = 1e-9, max_iter: int = 20_000) -> Any:
    """scikit-learn's optimum, with a tolerance that lets it get there."""
    model = LogisticRegression(C=1 / l2, tol=tol, max_iter=max_iter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # At the smallest penalties it gives up near the optimum.
        return model.fit(data[0].astype(np.float64), data[1])


@lru_cache
def reference(l2: float) -> LogisticRegression:
    return sklearns(TRAIN, l2)


def test_objective_is_scikit_learns_optimum(grid: GridFit) -> None:
    for index in (0, 9, 18, 24, 30, 36, 44):
        assert_optimal(grid, index, reference(grid.l2[index]), TRAIN)
    # Scores of weights that small would be lost beside those of the intercepts.
    small = fit_grid(*TRAIN, *VAL, np.logspace(-2, 12, 57))
    for index in (0, 4, 8):
        assert_optimal(small, index, reference(small.l2[index]), TRAIN)


def decrement(weight: np.ndarray, bias: np.ndarray, data: Data, l2: float) -> float:
    """Half the Newton decrement, of the true Hessian in float64: what is left to gain."""
    x = data[0] - data[0].mean(axis=0, dtype=np.float64)
    probability = softmax(data[0] @ weight.T.astype(np.float64) + bias, axis=1)
    residual = probability - np.eye(len(bias))[data[1]]
    extended = np.hstack([x, np.ones((len(x), 1))])
    penalised = np.append(np.ones(x.shape[1]), 0.0)
    gradient = residual.T @ extended + l2 * penalised * np.hstack([weight, bias[:, None]])
    blocks = [
        [(extended.T * (p * ((i == j) - q))) @ extended for j, q in enumerate(probability.T)]
        for i, p in enumerate(probability.T)
    ]
    hessian = np.block(blocks) + l2 * np.diag(np.tile(penalised, len(bias)))
    # Intercepts that all rise by as much change nothing.
    hessian += np.outer(*2 * [np.tile(1 - penalised, len(bias))])
    return float(0.5 * gradient.ravel() @ np.linalg.solve(hessian, gradient.ravel()))


def test_next_to_nothing_is_left_to_gain_at_any_penalty(grid: GridFit) -> None:
    nothing = len(TRAIN[1]) * np.log(10)
    for index in range(0, 45, 4):
        fit = grid.weights[index], grid.biases[index], TRAIN, grid.l2[index]
        value = objective(*fit)
        assert decrement(*fit) <= 1e-4 * min(value, nothing - value)


def test_accuracies_are_those_of_the_weights_and_scikit_learns_or_better(grid: GridFit) -> None:
    for index in (0, 20, 40):
        scores = VAL[0] @ grid.weights[index].T + grid.biases[index]
        accuracy = (grid.classes[scores.argmax(axis=1)] == VAL[1]).mean()
        assert grid.val_accuracy[index] == pytest.approx(accuracy)
    theirs = max(reference(l2).score(*VAL) for l2 in grid.l2[::4])
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
        model = sklearns((x, y), l2, tol=1e-8, max_iter=5_000)
        best = objective(model.coef_, model.intercept_, (x, y), l2)
        assert objective(weight, bias, (x, y), l2) <= best * 1.01 + 1e-6


def test_the_metric_chooses_and_accuracies_are_given_all_the_same() -> None:
    by_accuracy, by_mean = (
        fit_grid(*TRAIN, VAL[0][RARE], VAL[1][RARE], metric=metric)
        for metric in ("accuracy", "mean-per-class")
    )
    np.testing.assert_array_equal(by_accuracy.val_accuracy, by_mean.val_accuracy)
    np.testing.assert_array_equal(by_accuracy.val_accuracy, by_accuracy.val_score)
    assert not np.array_equal(by_mean.val_accuracy, by_mean.val_score)
    assert by_mean.val_score[by_mean.best] == by_mean.val_score.max()


def test_grid_is_45_penalties_and_ties_go_to_the_largest(grid: GridFit) -> None:
    np.testing.assert_allclose(PENALTIES[[0, -1]], [1e-6, 1e5])
    assert len(grid.val_score) == 45
    ties = np.flatnonzero(grid.val_score == grid.val_score.max())
    assert grid.best == ties[-1]


def test_grid_may_be_in_any_order_and_repeat_itself() -> None:
    features, labels = map(torch.from_numpy, TRAIN)
    few = fit_grid(features, labels, *VAL, [1.0, 1e-2, 1.0, 10.0])
    assert few.l2.tolist() == [1.0, 1e-2, 1.0, 10.0]
    assert few.val_score[0] == few.val_score[2]
    np.testing.assert_array_equal(few.weights[0], few.weights[2])
    assert np.linalg.norm(few.weights[3]) < np.linalg.norm(few.weights[1])


def test_classes_without_images_keep_their_numbers() -> None:
    (x, y), (val_x, val_y) = TRAIN, VAL
    some, val_some = np.isin(y, [2, 7, 9]), np.isin(val_y, [2, 7, 9])
    grid = fit_grid(x[some], y[some], val_x[val_some], val_y[val_some])
    assert grid.classes.tolist() == [2, 7, 9]
    assert grid.val_score.max() > 0.95


def test_more_dimensions_than_images() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(12, 40)).astype(np.float32)
    y = np.arange(12) % 3
    grid = fit_grid(x, y, x, y, [1e-6, 1.0])
    assert_optimal(grid, 1, sklearns((x, y), 1.0, tol=1e-10), (x, y))
    assert grid.val_score[0] == 1.0


@pytest.mark.parametrize("l2", [1e7, 1e-30])
def test_extreme_penalties_still_tell_classes_apart(l2: float) -> None:
    """Of the largest there is next to nothing to gain, yet the direction is the optimum's."""
    grid = fit_grid(*blobs(30, 1, 0.1), *blobs(30, 2, 0.1), [l2])
    assert np.isfinite(grid.weights).all()
    assert grid.val_score == [1.0]


class Operations(TorchFunctionMode):
    """Counts calls of torch, a measure of time that other processes do not change."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def collapsed(spread: float, seed: int) -> Data:
    """Features of unit length that are nearly one point, as of a tower that has collapsed."""
    generator = np.random.default_rng(seed)
    labels = np.arange(320) % 8
    signal = np.eye(8, 128)[labels] + generator.normal(size=(320, 128)) / np.sqrt(128)
    features = 1 / np.sqrt(128) + spread * signal
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features.astype(np.float32), labels


def effort(train: Data, val: Data, l2: NDArray[np.float64] = PENALTIES) -> tuple[GridFit, int]:
    with Operations() as operations:
        grid = fit_grid(*train, *val, l2)
    return grid, operations.count


@pytest.mark.parametrize("spread", [1e-2, 5e-3, 1e-3, 1e-4, 1e-5, 1e-6])
def test_collapsed_features_take_no_more_work_and_get_their_optimum(spread: float) -> None:
    train = collapsed(spread, 1)
    usual, usual_effort = effort(collapsed(1.0, 1), collapsed(1.0, 2))
    grid, needed = effort(train, collapsed(spread, 2))
    assert needed <= 1.5 * usual_effort
    assert grid.val_score.max() >= usual.val_score.max() - 0.01
    nothing = len(train[1]) * np.log(8)
    x = train[0].astype(np.float64)
    x -= x.mean(axis=0)
    for l2, weight, bias in zip(grid.l2, grid.weights, grid.biases, strict=True):
        residual = softmax(train[0] @ weight.T.astype(np.float64) + bias, axis=1)
        residual -= np.eye(8)[train[1]]
        left = np.square(residual.T @ x + l2 * weight).sum() / (2 * l2)
        gained = nothing - objective(weight, bias, train, l2)
        # Under a penalty that outweighs the curvature this is half the decrement.
        assert left <= 1e-4 * gained or l2 < 1e3 * np.square(x).sum()


def test_collapsed_features_without_any_signal_take_no_more_work() -> None:
    noise = np.random.default_rng(0).normal(size=(400, 64))
    labels = np.arange(400) % 20
    sets = [((1 / 16 + s * noise).astype(np.float32), labels) for s in (1.0, 1e-4)]
    (_, usual), (_, needed) = (effort(data, data) for data in sets)
    assert needed <= 1.5 * usual


def scaled(data: Data, scale: float) -> Data:
    return data[0] * np.float32(scale), data[1]


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-3, 1e3])
def test_scale_of_features_is_a_change_of_penalty(scale: float) -> None:
    l2 = np.array([1e-2, 1.0, 1e2, 1e4])
    plain, usual = effort(TRAIN, VAL, l2)
    grid, needed = effort(scaled(TRAIN, scale), scaled(VAL, scale), l2 * scale**2)
    assert needed <= 1.5 * usual
    np.testing.assert_allclose(grid.val_score, plain.val_score, atol=0.006)
    fits = zip(plain.weights, plain.biases, grid.weights, grid.biases, l2, strict=True)
    for weight, bias, scaled_weight, scaled_bias, penalty in fits:
        fit = objective(scaled_weight * np.float32(scale), scaled_bias, TRAIN, penalty)
        assert fit <= objective(weight, bias, TRAIN, penalty) * (1 + 1e-4)


@pytest.mark.parametrize("scale", [1e-12, 1e-6])
def test_features_near_zero_are_still_told_apart(scale: float) -> None:
    """All that could be gained is lost in the objective's rounding."""
    train, val = blobs(30, 1, 0.1), blobs(30, 2, 0.1)
    _, usual = effort(train, val)
    grid, needed = effort(scaled(train, scale), scaled(val, scale))
    assert needed <= 1.5 * usual
    assert grid.val_score.min() == 1.0


def test_float64_features_keep_their_digits_far_from_zero() -> None:
    (x, y), (val_x, val_y) = TRAIN, VAL
    far, val_far = x.astype(np.float64) + 1e6, val_x.astype(np.float64) + 1e6
    grid = fit_grid(far, y, val_far, val_y, [1e-2, 1.0])
    for index, l2 in enumerate(grid.l2):
        assert_optimal(grid, index, reference(l2), TRAIN, (far, y))
        expected = reference(l2).score(val_x, val_y)
        assert grid.val_score[index] == pytest.approx(expected, abs=0.006)
    assert (grid.predict(val_far) == val_y).mean() == pytest.approx(grid.val_score.max())


def test_tensors_with_history_are_features_like_others() -> None:
    (x, y), (val_x, val_y) = blobs(30, 1, 0.6), blobs(30, 2, 0.6)
    live, val_live = (torch.tensor(array, requires_grad=True) for array in (x, val_x))
    grid = fit_grid(live, y, val_live, val_y, [1.0])
    np.testing.assert_array_equal(grid.weights, fit_grid(x, y, val_x, val_y, [1.0]).weights)


X, Y = blobs(9, 1, 0.1)
NAN, INFINITE = (np.where(np.arange(8) == 3, wrong, X) for wrong in (np.nan, np.inf))


@pytest.mark.parametrize(
    ("data", "l2", "message"),
    [
        *(((X, Y, X, Y), [1.0, wrong], "l2 must be above zero") for wrong in (0, -1, np.nan)),
        ((X, Y, X, Y), [1.0, np.inf], "finite, not inf"),
        ((X, Y, X, Y), [], "l2 must be a list of penalties"),
        ((NAN, Y, X, Y), [1.0], "training features must be finite"),
        ((X, Y, INFINITE, Y), [1.0], "validation features must be finite"),
        ((X * 1e20, Y, X, Y), [1.0], "no larger than 1e"),
        ((X, Y, X[:0], Y[:0]), [1.0], "validation features must be"),
        ((X[:0], Y[:0], X, Y), [1.0], "training features must be"),
        ((X[0], Y, X, Y), [1.0], "training features must be"),
        ((X, Y[:-1], X, Y), [1.0], "training labels must be"),
        ((X, Y, X, Y[:, None]), [1.0], "validation labels must be"),
        ((X, Y, X[:, :5], Y), [1.0], "validation features have 5 dimensions"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    data: tuple[Any, Any, Any, Any], l2: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        fit_grid(*data, l2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metric", ["accuracy", "mean-per-class"])
def test_the_penalty_is_the_largest_within_one_standard_error_of_the_best(metric: str) -> None:
    (x, y), val_x, val_y = TRAIN, VAL[0][RARE], VAL[1][RARE]
    grid = fit_grid(x[:80], y[:80], val_x, val_y, PENALTIES[::-1], metric=metric)
    strata = [val_y == label for label in range(10)] if metric == "mean-per-class" else [val_y >= 0]
    answers = [
        grid.classes[(val_x @ w.T + b).argmax(1)]
        for w, b in zip(grid.weights, grid.biases, strict=True)
    ]
    for index, answer in enumerate(answers[: grid.chosen + 1]):
        lost = (answers[grid.best] == val_y) * 1.0 - (answer == val_y)
        errors = [lost[stratum].var(ddof=1) / stratum.sum() for stratum in strata]
        within = sum(lost[stratum].mean() for stratum in strata) <= sum(errors) ** 0.5 + 1e-9
        assert within == (index == grid.chosen)
    assert grid.l2[grid.chosen] > grid.l2[grid.best]


def test_one_validation_image_does_not_decide() -> None:
    """Rounding may take an image away from any probe."""
    labels = np.zeros(400, dtype=np.int64)
    hits = np.ones((3, 400), dtype=bool)
    hits[1, :1] = hits[2, :2] = False
    assert within_one_error(hits, 0, labels, "accuracy").tolist() == [True, True, False]


@pytest.mark.parametrize("seed", range(4))
def test_rounding_in_the_features_moves_no_prediction(seed: int) -> None:
    (x, y), (val_x, val_y) = (embeddings(800, 128, 8, 3 * seed + part) for part in (1, 2))
    rounding = np.random.default_rng(5).uniform(-1e-7, 1e-7, x.shape)
    moved = (x * (1 + rounding)).astype(np.float32)
    left, right = (fit_grid(features, y, val_x, val_y) for features in (x, moved))
    assert left.chosen == right.chosen
    np.testing.assert_array_equal(left.val_accuracy, right.val_accuracy)
