"""Linear probe: logistic regression on frozen features, its penalty chosen on validation data.

The features are those after the projection, L2-normalised (PROTOCOL section 5). The penalty is
chosen from 45 by fitting on train and judging on val, as SynCLR does; the probe is then refitted
on train and val together and the test split is looked at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.plugins import evaluators
from bench.types import Declared, Evaluation, FloatArray, Json, LabelArray, ModelView
from eval._logistic import Linear, Regression

PENALTIES = np.logspace(-6, 5, 45)
"""Coefficients of half the squared weights, beside the summed cross-entropy: 1/C in scikit-learn's
terms; the number and range of values are SynCLR's."""


@dataclass(frozen=True)
class GridFit:
    """Probes for every penalty of a grid.

    Attributes:
        l2: The penalties, float64 ``[g]``.
        val_accuracy: Accuracy of each on the validation features, float64 ``[g]``.
        weights: float32 ``[g, classes, dim]``, the classes being those that the labels have.
        biases: float32 ``[g, classes]``.
        classes: The labels that the rows of the weights stand for, int64 ``[classes]``.
        best: Index of the highest accuracy; of equal ones, that of the largest penalty.
    """

    l2: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]
    weights: FloatArray
    biases: FloatArray
    classes: LabelArray
    best: int


def fit_grid(
    features: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    val_features: ArrayLike | Tensor,
    val_labels: ArrayLike | Tensor,
    l2: Sequence[float] | NDArray[np.float64] = PENALTIES,
) -> GridFit:
    """Fit a multinomial logistic regression for every penalty, and judge each on validation data.

    Args:
        features: float ``[n, dim]``.
        labels: int ``[n]``.
        val_features: float ``[m, dim]``.
        val_labels: int ``[m]``.
        l2: Distinct penalties above zero, in any order.
    """
    inputs, val_inputs = _tensor(features), _tensor(val_features)
    truth = torch.as_tensor(val_labels).to(inputs.device)
    penalties, places = np.unique(np.asarray(l2, dtype=np.float64), return_inverse=True)
    classes, fits = _fit_path(inputs, labels, penalties)
    hits = [(classes[fit.predict(val_inputs)] == truth).double().mean() for fit in fits]
    val_accuracy = torch.stack(hits).cpu().numpy()[places]
    return GridFit(
        l2=penalties[places],
        val_accuracy=val_accuracy,
        weights=torch.stack([fit.weight for fit in fits]).cpu().numpy()[places],
        biases=torch.stack([fit.bias for fit in fits]).cpu().numpy()[places],
        classes=classes.cpu().numpy(),
        best=int(np.lexsort((penalties[places], val_accuracy))[-1]),
    )


@evaluators.register("linear-probe")
class LinearProbe:
    """Judges features by how well a linear classifier does on them."""

    class Options(Declared, frozen=True, kw_only=True):
        """How the features are prepared."""

        normalise: Literal["l2", "standardise"] = "l2"
        """``standardise`` gives each dimension mean 0 and deviation 1 over the fitted images."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fitted: tuple[ModelView, GridFit] | None = None

    def validate(self, model: ModelView) -> Evaluation:
        """Judge the best of the probes fitted on train."""
        _, val = self._prepare(model.features("train"), model.features("val"))
        grid = self._grid(model)
        scores = val @ grid.weights[grid.best].T + grid.biases[grid.best]
        return Evaluation(grid.classes[scores.argmax(axis=1)], model.labels("val"), _chosen(grid))

    def test(self, model: ModelView) -> Evaluation:
        """Judge a probe refitted on train and val with the penalty chosen on val."""
        grid = self._grid(model)
        both, test = self._prepare(
            np.concatenate([model.features("train"), model.features("val")]),
            model.features("test"),
        )
        labels = np.concatenate([model.labels("train"), model.labels("val")])
        # The path down to the chosen penalty is the quickest way to it.
        down_to = np.unique(grid.l2[grid.l2 >= grid.l2[grid.best]])
        classes, fits = _fit_path(_tensor(both), labels, down_to)
        predicted = classes[fits[0].predict(_tensor(test))].cpu().numpy()
        return Evaluation(predicted, model.labels("test"), _chosen(grid))

    def _grid(self, model: ModelView) -> GridFit:
        """Fit the grid; `test` needs the one that `validate` fitted."""
        if self._fitted is None or self._fitted[0] is not model:
            train, val = self._prepare(model.features("train"), model.features("val"))
            grid = fit_grid(train, model.labels("train"), val, model.labels("val"))
            self._fitted = model, grid
        return self._fitted[1]

    def _prepare(self, fitted: FloatArray, judged: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self._options.normalise == "l2":  # As they come: see `ModelView.features`.
            return fitted, judged
        mean, deviation = fitted.mean(axis=0), fitted.std(axis=0)
        deviation[deviation == 0] = 1
        return (fitted - mean) / deviation, (judged - mean) / deviation


def _fit_path(
    inputs: Tensor, labels: ArrayLike | Tensor, penalties: NDArray[np.float64]
) -> tuple[Tensor, list[Linear]]:
    """Return the classes there are, int64 ``[classes]``, and a fit per rising penalty."""
    targets = torch.as_tensor(labels).to(inputs.device)
    classes, targets = torch.unique(targets, return_inverse=True)
    falling = list(Regression(inputs, targets).path(penalties[::-1].tolist()))
    return classes, falling[::-1]


def _tensor(features: ArrayLike | Tensor) -> Tensor:
    """Return features as float32; those that are not a tensor yet go where they are fast."""
    if isinstance(features, Tensor):
        return features.float()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.as_tensor(np.asarray(features, dtype=np.float32), device=device)


def _chosen(grid: GridFit) -> Json:
    return {
        "l2": float(grid.l2[grid.best]),
        "val_accuracy": float(grid.val_accuracy[grid.best]),
    }
