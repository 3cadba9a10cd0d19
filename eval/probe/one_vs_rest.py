"""Logistic regressions of each class against all others, for images with several labels.

One penalty serves all classes, as in CLIP's linear probe of VOC2007 (Radford et al. 2021, appendix
A.3). It is chosen by the mean average precision on validation data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.core.arrays import FloatArray, TargetArray
from eval.metrics import average_precision
from eval.probe.arrays import labelled, tensor
from eval.probe.grid import PENALTIES, Rule
from eval.probe.logistic import Point, Regression


class Independent(Regression):
    """The logistic regressions of several classes, whose objectives are added up.

    Their optimum is each one's own, and one product of matrices serves them all.

    Args:
        features: float64 ``[n, dim]``.
        targets: bool ``[n, classes]``; each class has images with and without it.
    """

    def __init__(self, features: Tensor, targets: Tensor) -> None:
        self._set_up(features, targets.shape[1])
        self._sign = 1.0 - 2.0 * targets.double()
        self._loss_at_zero = targets.numel() * math.log(2)

    def _point(self, coefficients: Tensor, scores: Tensor, penalty: float) -> Point:
        # Above zero where an image is on the wrong side.
        wrong = (scores + coefficients[-1]).mul_(self._sign)
        loss = float(torch.logaddexp(wrong, wrong.new_zeros(())).sum())
        residual = torch.sigmoid(wrong).mul_(self._sign)
        return self._with_penalty(Point(coefficients, scores, residual, loss, 0.0), penalty)


@dataclass(frozen=True)
class OneVsRest:
    """Probes for every penalty of a grid, scored on validation data.

    Attributes:
        l2: The penalties, ascending, float64 ``[g]``.
        val_score: The mean average precision of each, float64 ``[g]``.
        val_scores: What the chosen one gives each validation image, float32 ``[m, classes]``.
        best: Index of the highest score, with the largest penalty of equal ones.
        chosen: Index of the penalty that the rule chooses.
    """

    l2: NDArray[np.float64]
    val_score: NDArray[np.float64]
    val_scores: FloatArray
    best: int
    chosen: int


def fit_one_vs_rest(  # noqa: PLR0913 (two labelled sets, and how to choose)
    features: FloatArray,
    targets: TargetArray,
    val_features: FloatArray,
    val_targets: TargetArray,
    l2: Sequence[float] | NDArray[np.float64] = PENALTIES,
    *,
    rule: Rule = "one-se",
    device: str | None = None,
) -> OneVsRest:
    """Return probes of each class for a grid of penalties.

    The objective of a class is scikit-learn's `LogisticRegression(C=1 / l2)`.

    Args:
        features: float32 ``[n, dim]``.
        targets: bool ``[n, classes]``; a class that no image has, or every one, scores 0.
        val_features: float32 ``[m, dim]``.
        val_targets: bool ``[m, classes]``.
        l2: Distinct penalties above zero.
        rule: The largest penalty within one standard error of the best, or the best.
        device: Where arrays are moved; by default the first of `eval.probe.arrays.devices`.
    """
    penalties = np.unique(np.asarray(l2, np.float64))
    answers = _scores(features, targets, val_features, penalties, device)
    values = np.array([average_precision.mean(one, val_targets) for one in answers])
    best = int(np.lexsort((penalties, values))[-1])
    chosen = best if rule == "best" else _within_one_error(answers, val_targets, best)
    return OneVsRest(penalties, values, answers[chosen], best, chosen)


def refit_one_vs_rest(
    fit: OneVsRest,
    features: FloatArray,
    targets: TargetArray,
    test_features: FloatArray,
    device: str | None = None,
) -> FloatArray:
    """Return test scores, float32 ``[m, classes]``, of probes refitted with the chosen penalty."""
    # The path down to the chosen penalty is the quickest way to it.
    scores: FloatArray = _scores(features, targets, test_features, fit.l2[fit.chosen :], device)[0]
    return scores


def _scores(
    features: FloatArray,
    targets: TargetArray,
    others: FloatArray,
    penalties: NDArray[np.float64],
    device: str | None,
) -> FloatArray:
    """Return the scores of other features by penalty, float32 ``[g, m, classes]``."""
    inputs, _ = labelled(features, np.zeros(len(features), np.int64), "training", device)
    centre = inputs.mean(dim=0)
    shifted = tensor(others, device).double() - centre
    scores = np.zeros((len(penalties), len(others), targets.shape[1]), np.float32)
    told_apart = np.flatnonzero(targets.any(axis=0) & ~targets.all(axis=0))
    if told_apart.size:
        having = torch.as_tensor(targets[:, told_apart], device=inputs.device)
        path = Independent(inputs - centre, having).path(penalties[::-1].tolist())
        for row, fit in zip(range(len(penalties) - 1, -1, -1), path, strict=True):
            answers = functional.linear(shifted, fit.weight, fit.bias)
            scores[row][:, told_apart] = answers.float().cpu().numpy()
    return scores


def _within_one_error(answers: FloatArray, targets: TargetArray, best: int) -> int:
    """Return the index of the largest penalty that validation data cannot tell from the best.

    The standard error is that of the difference between two means over the same images.
    """
    reference = average_precision.contributions(answers[best], targets)
    for index in range(len(answers) - 1, best, -1):
        lost = reference - average_precision.contributions(answers[index], targets)
        # Rounding must not exclude a probe that ranks as well as the best.
        if lost.mean() <= np.sqrt(lost.var(ddof=1) / len(lost)) + 1e-12:
            return index
    return best
