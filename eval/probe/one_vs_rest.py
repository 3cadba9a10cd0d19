"""Logistic regressions of each class against all others, for images with several labels.

One penalty serves all classes, as in CLIP's linear probe of VOC2007 (Radford et al. 2021, appendix
A.3). It is chosen by the mean average precision on validation data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.core.arrays import FloatArray, TargetArray
from eval.metrics import average_precision
from eval.probe.arrays import labelled, tensor
from eval.probe.grid import PENALTIES, Rule
from eval.probe.logistic import Regression


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
    for label in np.flatnonzero(targets.any(axis=0) & ~targets.all(axis=0)):
        having = torch.as_tensor(targets[:, label].astype(np.int64), device=inputs.device)
        scores[:, :, label] = _of_class(inputs - centre, having, shifted, penalties)
    return scores


def _of_class(
    inputs: Tensor, having: Tensor, others: Tensor, penalties: NDArray[np.float64]
) -> FloatArray:
    """Return one class's scores by ascending penalty, float32 ``[g, m]``.

    Two columns of weights, of which only the difference counts, share a penalty: each is half the
    difference, so that twice the penalty is on them what one is on it.
    """
    falling = Regression(inputs, having).path((2 * penalties[::-1]).tolist())
    rows = []
    for fit in falling:
        weight, bias = fit.weight[1] - fit.weight[0], fit.bias[1] - fit.bias[0]
        rows.append((others @ weight + bias).float().cpu().numpy())
    return np.asarray(np.stack(rows[::-1]))


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
