"""Probes of each class against all others are scikit-learn's, and one penalty serves them all."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bench.core.arrays import FloatArray, TargetArray
from eval.metrics import average_precision
from eval.probe.one_vs_rest import fit_one_vs_rest, refit_one_vs_rest

torch.set_num_threads(1)


def images(n: int, seed: int) -> tuple[FloatArray, TargetArray]:
    """Return features that show which of four classes an image has; the last has no image."""
    generator = np.random.default_rng(seed)
    targets = generator.random((n, 4)) < [0.5, 0.3, 0.1, 0.0]
    clean = targets @ np.eye(4, 12) + 0.8 * generator.normal(size=(n, 12))
    return clean.astype(np.float32), targets


def test_scores_are_scikit_learns() -> None:
    (x, y), (val_x, val_y) = images(200, 0), images(80, 1)
    for l2 in (1e-2, 1.0, 50.0):
        fit = fit_one_vs_rest(x, y, val_x, val_y, [l2])
        for label in range(3):
            reference = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
            reference.fit(x.astype(np.float64), y[:, label])
            expected = reference.decision_function(val_x.astype(np.float64))
            np.testing.assert_allclose(fit.val_scores[:, label], expected, rtol=0.02, atol=0.02)
        assert (fit.val_scores[:, 3] == 0).all()


def test_one_penalty_is_chosen_by_the_mean_average_precision_on_val() -> None:
    (x, y), (val_x, val_y) = images(60, 2), images(60, 3)
    grid = np.logspace(-4, 4, 9)
    fit = fit_one_vs_rest(x, y, val_x, val_y, grid, rule="best")
    alone = [
        average_precision.mean(fit_one_vs_rest(x, y, val_x, val_y, [l2]).val_scores, val_y)
        for l2 in grid
    ]
    np.testing.assert_allclose(fit.val_score, alone, atol=0.01)
    assert fit.chosen == fit.best
    assert fit.val_score[fit.best] == fit.val_score.max()
    assert fit.val_score[fit.best] == pytest.approx(average_precision.mean(fit.val_scores, val_y))
    careful = fit_one_vs_rest(x, y, val_x, val_y, grid, rule="one-se")
    assert careful.best == fit.best <= careful.chosen
    assert careful.val_score[careful.chosen] > fit.val_score.max() - 0.1


def test_the_refit_has_the_chosen_penalty_and_all_images() -> None:
    (x, y), (val_x, val_y), (test_x, _) = images(120, 4), images(60, 5), images(40, 6)
    fit = fit_one_vs_rest(x, y, val_x, val_y)
    all_x, all_y = np.concatenate([x, val_x]), np.concatenate([y, val_y])
    found = refit_one_vs_rest(fit, all_x, all_y, test_x)
    reference = LogisticRegression(C=1 / fit.l2[fit.chosen], tol=1e-10, max_iter=10_000)
    expected = reference.fit(all_x.astype(float), all_y[:, 0]).decision_function(test_x)
    np.testing.assert_allclose(found[:, 0], expected, rtol=0.02, atol=0.02)
