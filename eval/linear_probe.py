"""Linear probe: logistic regression on frozen features, its penalty chosen on validation data.

The features are those after the projection, L2-normalised (PROTOCOL section 5). The penalty is
chosen from 45 by fitting on train and judging on val: the largest that is within one standard
error of the best (docs/decisions/0004-penalty-within-one-standard-error.md). The probe is then
refitted on train and val together and the test split is looked at once. `features=penultimate`
with `normalise=standardise` and `rule=best` is SynCLR's protocol; `solver=adamw` trains as the
paper's authors do, with nothing to choose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.core.arrays import FloatArray, LabelArray
from bench.core.config import Config
from bench.core.json_values import Json
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval.metrics.intervals import score
from eval.probe import adamw
from eval.probe.arrays import labelled, positive, tensor
from eval.probe.logistic import Linear, Regression

PENALTIES = np.logspace(-6, 5, 45)
"""Coefficients of half the squared weights, beside the summed cross-entropy: 1/C in scikit-learn's
terms; the number and range of values are SynCLR's."""

Rule = Literal["one-se", "best"]

_SEED = 0
"""Of the authors' probe, which is the same for every run: its spread is no part of a seed's."""


@dataclass(frozen=True)
class GridFit:
    """Probes for every penalty of a grid.

    Attributes:
        l2: The penalties, float64 ``[g]``.
        val_accuracy: The accuracy of each on the validation features, float64 ``[g]``.
        val_score: What each scores there by the metric that chooses, float64 ``[g]``.
        weights: float32 ``[g, classes, dim]``, the classes being those that the labels have.
        biases: float64 ``[g, classes]``: far from zero, features need the digits.
        classes: The labels that the rows of the weights stand for, int64 ``[classes]``.
        best: Index of the highest score; of equal ones, that of the largest penalty.
        chosen: Index of the penalty that the rule chooses.
    """

    l2: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]
    val_score: NDArray[np.float64]
    weights: FloatArray
    biases: NDArray[np.float64]
    classes: LabelArray
    best: int
    chosen: int

    def predict(self, features: FloatArray | NDArray[np.float64]) -> LabelArray:
        """Return the chosen probe's answers, int64 ``[m]``, to features, float ``[m, dim]``."""
        scores = features @ self.weights[self.chosen].T + self.biases[self.chosen]
        answers: LabelArray = self.classes[scores.argmax(axis=1)]
        return answers


def fit_grid(  # noqa: PLR0913 (the arrays, and how to choose)
    features: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    val_features: ArrayLike | Tensor,
    val_labels: ArrayLike | Tensor,
    l2: Sequence[float] | NDArray[np.float64] = PENALTIES,
    *,
    metric: str = "accuracy",
    rule: Rule = "one-se",
) -> GridFit:
    """Fit a multinomial logistic regression for every penalty, and judge each on validation data.

    The objective is the summed cross-entropy plus half of l2 times the squared weights; intercepts
    are not penalised: scikit-learn's `LogisticRegression(C=1 / l2)`.

    Args:
        features: float ``[n, dim]``, array or tensor; a tensor's device does the work.
        labels: int ``[n]``.
        val_features: float ``[m, dim]``.
        val_labels: int ``[m]``.
        l2: Distinct penalties above zero, in any order.
        metric: What validation data choose by; a key of `eval.metrics.intervals.METRICS`.
        rule: Which penalty is chosen; see `LinearProbe.Options`.

    Raises:
        ValueError: An array has another shape or is empty, a feature is not finite or larger than
            1e15, or a penalty is not above zero and finite.
    """
    inputs, targets = labelled(features, labels, "training")
    val_inputs, val_targets = labelled(val_features, val_labels, "validation")
    if val_inputs.shape[1] != inputs.shape[1]:
        raise ValueError(
            f"validation features have {val_inputs.shape[1]} dimensions, "
            f"training features {inputs.shape[1]}"
        )
    penalties, places = np.unique(positive(l2), return_inverse=True)
    # Before float64 is cut to float32, which keeps no digits of what is far from zero.
    centre = inputs.mean(dim=0)
    classes, fits = _fit_path((inputs - centre).float(), targets, penalties)
    shifted = (val_inputs.to(inputs.device) - centre).float()
    answers = np.array([classes[fit.predict(shifted)].cpu().numpy() for fit in fits])[places]
    truth = val_targets.cpu().numpy()

    def judged(by: str) -> NDArray[np.float64]:
        return np.array([score(predicted, truth, by) for predicted in answers])

    val_score = judged(metric)
    best = int(np.lexsort((penalties[places], val_score))[-1])
    near = _within_one_error(answers == truth, best, truth, metric)
    weights = torch.stack([fit.weight for fit in fits]).cpu().numpy()[places]
    biases = torch.stack([fit.bias for fit in fits]).cpu().numpy()[places]
    return GridFit(
        l2=penalties[places],
        val_accuracy=judged("accuracy"),
        val_score=val_score,
        weights=weights,
        biases=biases - weights @ centre.double().cpu().numpy(),
        classes=classes.cpu().numpy(),
        best=best,
        chosen=best if rule == "best" else int(np.where(near, penalties[places], 0).argmax()),
    )


@evaluators.register("linear-probe")
class LinearProbe:
    """Judges features by how well a linear classifier does on them."""

    class Options(Config, frozen=True, kw_only=True):
        """Which features, how they are prepared, and how the classifier is found."""

        features: Literal["projection", "penultimate"] = "projection"
        normalise: Literal["l2", "standardise"] = "l2"
        """``standardise`` gives each dimension mean 0 and deviation 1 over the fitted images."""
        solver: Literal["lbfgs", "adamw"] = "lbfgs"
        """``adamw`` is the authors': 200 epochs, no penalty to choose."""
        rule: Rule = "one-se"
        """Which penalty: the largest within one standard error of the best, or the best."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fitted: tuple[ModelView, GridFit] | None = None

    def validate(self, model: ModelView) -> Evaluation:
        """Judge the chosen one of the probes fitted on train."""
        if self._options.solver == "adamw":
            return self._trained(model, ["train"], "val")
        _, val = self._prepare(model, ["train"], "val")
        grid = self._grid(model)
        return Evaluation(grid.predict(val), model.labels("val"), self._chosen(grid))

    def test(self, model: ModelView) -> Evaluation:
        """Judge a probe refitted on train and val with the penalty chosen on val."""
        splits = ["train", "val"]
        if self._options.solver == "adamw":
            return self._trained(model, splits, "test")
        grid = self._grid(model)
        both, test = self._prepare(model, splits, "test")
        # The path down to the chosen penalty is the quickest way to it.
        down_to = np.unique(grid.l2[grid.l2 >= grid.l2[grid.chosen]])
        classes, fits = _fit_path(*labelled(both, _labels(model, splits), "training"), down_to)
        predicted = classes[fits[0].predict(tensor(test))].cpu().numpy()
        return Evaluation(predicted, model.labels("test"), self._chosen(grid))

    def _chosen(self, grid: GridFit) -> Json:
        return {
            "l2": float(grid.l2[grid.chosen]),
            "val_score": float(grid.val_score[grid.chosen]),
            "rule": self._options.rule,
            "best_val_score": float(grid.val_score[grid.best]),
        }

    def _grid(self, model: ModelView) -> GridFit:
        """Fit the grid; `test` needs the one that `validate` fitted."""
        if self._fitted is None or self._fitted[0] is not model:
            train, val = self._prepare(model, ["train"], "val")
            truth, val_truth = model.labels("train"), model.labels("val")
            metric, rule = model.task.metric, self._options.rule
            grid = fit_grid(train, truth, val, val_truth, metric=metric, rule=rule)
            self._fitted = model, grid
        return self._fitted[1]

    def _trained(self, model: ModelView, fitted: list[str], judged: str) -> Evaluation:
        """Judge the authors' probe."""
        inputs, others = map(tensor, self._prepare(model, fitted, judged))
        targets = torch.from_numpy(_labels(model, fitted)).to(inputs.device)
        start = adamw.fresh(len(model.task.class_names), inputs.shape[1], _SEED)
        *_, last = adamw.epochs(start, inputs, targets, seed=_SEED)
        return Evaluation(last.predict(others).cpu().numpy(), model.labels(judged), chosen={})

    def _prepare(
        self, model: ModelView, fitted: list[str], judged: str
    ) -> tuple[FloatArray, FloatArray]:
        """Return the features to fit and those to judge, float32 ``[n, dim]``."""
        projected = self._options.features == "projection"
        read = model.features if projected else model.penultimate
        left, right = np.concatenate([read(split) for split in fitted]), read(judged)
        if self._options.normalise == "l2":
            # After the projection they come with unit length: see `ModelView.features`.
            return (left, right) if projected else (_unit(left), _unit(right))
        mean, deviation = left.mean(axis=0), left.std(axis=0)
        deviation[deviation == 0] = 1
        return (left - mean) / deviation, (right - mean) / deviation


def _unit(features: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: FloatArray = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def _labels(model: ModelView, splits: list[str]) -> LabelArray:
    return np.concatenate([model.labels(split) for split in splits])


def _fit_path(
    inputs: Tensor, labels: Tensor, penalties: NDArray[np.float64]
) -> tuple[Tensor, list[Linear]]:
    """Return the classes there are, int64 ``[classes]``, and a fit per rising penalty."""
    classes, targets = torch.unique(labels, return_inverse=True)
    falling = list(Regression(inputs, targets).path(penalties[::-1].tolist()))
    return classes, falling[::-1]


def _within_one_error(
    hits: NDArray[np.bool_], best: int, labels: LabelArray, metric: str
) -> NDArray[np.bool_]:
    """Return which probes validation data cannot tell from the best, bool ``[g]``.

    The standard error is that of the two scores' difference over the same images, which is far
    smaller than either score's own: most images are answered alike.

    Args:
        hits: Which images each probe answers right, bool ``[g, m]``.
        best: Index of the best.
        labels: int64 ``[m]``.
        metric: What the scores are; a key of `eval.metrics.intervals.METRICS`.
    """
    # Images are sampled within their class where classes count alike, else from all.
    groups = labels if metric == "mean-per-class" else np.zeros_like(labels)
    lost = hits[best].astype(float) - hits
    shares, variances = np.zeros((2, len(hits)))
    for group in np.unique(groups):
        own = lost[:, groups == group]
        n = own.shape[1]
        shares += own.mean(axis=1)
        # Without Bessel's correction, one image lost of many would be more than one error.
        variances += own.var(axis=1, ddof=min(1, n - 1)) / n
    # Some room for rounding: a probe that answers all as the best does has lost nothing.
    within: NDArray[np.bool_] = shares <= np.sqrt(variances) + 1e-12
    return within
