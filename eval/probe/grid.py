"""Probes for a grid of penalties, one of which is chosen on validation data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.core.arrays import FloatArray, LabelArray
from eval.metrics.intervals import score
from eval.probe.arrays import labelled, positive, tensor
from eval.probe.logistic import Linear, Regression

PENALTIES = np.logspace(-6, 5, 45)
"""Coefficients of half the squared weights, beside the summed cross-entropy: scikit-learn's 1/C.
Their number and range are SynCLR's."""

Rule = Literal["one-se", "best"]
"""Which penalty is chosen: the largest within one standard error of the best, or the best."""


@dataclass(frozen=True)
class GridFit:
    """Probes for every penalty of a grid.

    Attributes:
        l2: The penalties, float64 ``[g]``.
        val_accuracy: The accuracy of each on the validation features, float64 ``[g]``.
        val_score: The score of each there by the metric that chooses, float64 ``[g]``.
        weights: float64 ``[g, classes, dim]``, for the classes that are among the labels.
        biases: float64 ``[g, classes]``.
        classes: The labels that the rows of the weights stand for, int64 ``[classes]``.
        best: Index of the highest score, with the largest penalty of equal ones.
        chosen: Index of the penalty that the rule chooses.
    """

    l2: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]
    val_score: NDArray[np.float64]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    classes: LabelArray
    best: int
    chosen: int

    def predict(self, features: FloatArray | NDArray[np.float64]) -> LabelArray:
        """Return the chosen probe's classes, int64 ``[m]``, of features, float ``[m, dim]``."""
        scores = features @ self.weights[self.chosen].T + self.biases[self.chosen]
        predicted: LabelArray = self.classes[scores.argmax(axis=1)]
        return predicted


def fit_grid(  # noqa: PLR0913 (two labelled sets, and how to choose)
    features: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    val_features: ArrayLike | Tensor,
    val_labels: ArrayLike | Tensor,
    l2: Sequence[float] | NDArray[np.float64] = PENALTIES,
    *,
    metric: str = "accuracy",
    rule: Rule = "one-se",
    device: str | None = None,
) -> GridFit:
    """Return a multinomial logistic regression per penalty, scored on validation data.

    The objective is the summed cross-entropy plus half of l2 times the squared weights; intercepts
    are not penalised: scikit-learn's `LogisticRegression(C=1 / l2)`.

    Args:
        features: float ``[n, dim]``, array or tensor; a tensor's device does the work.
        labels: int ``[n]``.
        val_features: float ``[m, dim]``.
        val_labels: int ``[m]``.
        l2: Distinct penalties above zero, in any order.
        metric: The metric of the validation score; a key of `eval.metrics.intervals.METRICS`.
        rule: Which penalty is chosen.
        device: Where arrays are moved; by default the first of `eval.probe.arrays.devices`.

    Raises:
        ValueError: An array has another shape or is empty, a feature is not finite or larger than
            1e15, or a penalty is not above zero and finite.
    """
    inputs, targets = labelled(features, labels, "training", device)
    val_inputs, val_targets = labelled(val_features, val_labels, "validation", device)
    if val_inputs.shape[1] != inputs.shape[1]:
        sizes = f"{val_inputs.shape[1]} dimensions, training features {inputs.shape[1]}"
        raise ValueError(f"validation features have {sizes}")
    penalties, places = np.unique(positive(l2), return_inverse=True)
    centre = inputs.mean(dim=0)
    classes, fits = _fit_path(inputs - centre, targets, penalties)
    shifted = val_inputs.to(inputs.device) - centre
    predicted = np.array([classes[fit.predict(shifted)].cpu().numpy() for fit in fits])[places]
    truth = val_targets.cpu().numpy()

    def scores(by: str) -> NDArray[np.float64]:
        return np.array([score(answers, truth, by) for answers in predicted])

    val_score = scores(metric)
    best = int(np.lexsort((penalties[places], val_score))[-1])
    near = within_one_error(predicted == truth, best, truth, metric)
    weights = torch.stack([fit.weight for fit in fits]).cpu().numpy()[places]
    biases = torch.stack([fit.bias for fit in fits]).cpu().numpy()[places]
    return GridFit(
        l2=penalties[places],
        val_accuracy=scores("accuracy"),
        val_score=val_score,
        weights=weights,
        biases=biases - weights @ centre.cpu().numpy(),
        classes=classes.cpu().numpy(),
        best=best,
        chosen=best if rule == "best" else int(np.where(near, penalties[places], 0).argmax()),
    )


def refit(
    grid: GridFit,
    features: FloatArray,
    labels: LabelArray,
    test_features: FloatArray,
    device: str | None = None,
) -> LabelArray:
    """Return test predictions, int64 ``[m]``, of a probe refitted with the chosen penalty.

    Args:
        grid: Where the penalty was chosen.
        features: The features to fit, float32 ``[n, dim]``.
        labels: int64 ``[n]``.
        test_features: float32 ``[m, dim]``.
        device: Where arrays are moved; by default the first of `eval.probe.arrays.devices`.
    """
    # The path down to the chosen penalty is the quickest way to it.
    down_to = np.unique(grid.l2[grid.l2 >= grid.l2[grid.chosen]])
    classes, fits = _fit_path(*labelled(features, labels, "training", device), down_to)
    inputs = tensor(test_features, device).double()
    predicted: LabelArray = classes[fits[0].predict(inputs)].cpu().numpy()
    return predicted


def _fit_path(
    inputs: Tensor, labels: Tensor, penalties: NDArray[np.float64]
) -> tuple[Tensor, list[Linear]]:
    """Return the classes that occur, int64 ``[classes]``, and a fit per ascending penalty."""
    classes, targets = torch.unique(labels, return_inverse=True)
    falling = list(Regression(inputs, targets).path(penalties[::-1].tolist()))
    return classes, falling[::-1]


def within_one_error(
    hits: NDArray[np.bool_], best: int, labels: LabelArray, metric: str
) -> NDArray[np.bool_]:
    """Return which probes validation data cannot tell from the best, bool ``[g]``.

    The standard error is that of the difference between two scores over the same images. It is far
    smaller than that of either score, because most images are classified alike.

    Args:
        hits: Which images each probe classifies right, bool ``[g, m]``.
        best: Index of the best.
        labels: int64 ``[m]``.
        metric: What the scores are; a key of `eval.metrics.intervals.METRICS`.
    """
    # For the mean over classes, images are sampled within their class.
    groups = labels if metric == "mean-per-class" else np.zeros_like(labels)
    lost = hits[best].astype(float) - hits
    shares, variances = np.zeros((2, len(hits)))
    for group in np.unique(groups):
        group_lost = lost[:, groups == group]
        n = group_lost.shape[1]
        shares += group_lost.mean(axis=1)
        # Without Bessel's correction, one image lost of many would be more than one error.
        variances += group_lost.var(axis=1, ddof=min(1, n - 1)) / n
    # Rounding must not exclude a probe that is right as often as the best.
    within: NDArray[np.bool_] = shares <= np.sqrt(variances) + 1e-12
    return within
