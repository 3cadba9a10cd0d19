"""Linear probe: logistic regression on frozen features, its penalty chosen on validation data.

The features are those after the projection, L2-normalised (Geng 2024, code, linear_probe.py:9-66).
The penalty is chosen from 45 that are fitted on train and scored on val: the largest within one
standard error of the best (docs/decisions/0004-penalty-within-one-standard-error.md). The probe is
refitted on train and val together, and predicts the test split once. `features=penultimate` with
`normalise=standardise` and `rule=best` is SynCLR's protocol. `solver=adamw` trains as the paper's
authors do, with nothing to choose. In a multi-label task, each class is told from all others.
"""

from functools import partial
from typing import Literal

import numpy as np
import torch

from bench.core.arrays import FloatArray
from bench.core.config import Config
from bench.core.json_values import Json
from bench.core.task import Task
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from bench.runtime.float32 import float32_products
from eval._shared import check_one_label, classify, joined, targets_of
from eval.probe import adamw
from eval.probe.arrays import devices, first_that_fits, tensor
from eval.probe.grid import GridFit, Rule, fit_grid, refit
from eval.probe.one_vs_rest import OneVsRest, fit_one_vs_rest, refit_one_vs_rest

_SEED = 0
"""The seed of the authors' probe, the same in every run: it is no part of the spread over seeds."""


@evaluators.register("linear-probe")
class LinearProbe:
    """Evaluates features by how well a linear classifier does on them."""

    class Options(Config, frozen=True, kw_only=True):
        """Which features, how they are normalised, and how the classifier is fitted."""

        features: Literal["projection", "penultimate"] = "projection"
        """Those after the projection into the space shared with texts, or those before it."""
        normalise: Literal["l2", "standardise"] = "l2"
        """``standardise`` gives each dimension mean 0 and deviation 1 over the fitted images."""
        solver: Literal["lbfgs", "adamw"] = "lbfgs"
        """``adamw`` is the authors': 200 epochs, no penalty to choose."""
        rule: Rule = "one-se"
        """Which penalty: the largest within one standard error of the best, or the best."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fitted: tuple[ModelView, GridFit] | None = None
        self._ranked: tuple[ModelView, OneVsRest] | None = None

    def check(self, task: Task) -> None:
        """Check that a task of several labels per image is fitted by a solver that supports it.

        Raises:
            RequestError: If it is not.
        """
        if self._options.solver == "adamw":
            check_one_label(task, "linear-probe")

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate the chosen one of the probes fitted on train."""
        if self._options.solver == "adamw":
            return self._train(model, ["train"], "val")
        if model.task.multi_label:
            fit = self._one_vs_rest(model)
            return classify(model, "val", fit.val_scores, self._chosen(fit))
        _, features = self._features(model, ["train"], "val")
        grid = self._grid(model)
        return Evaluation(grid.predict(features), model.labels("val"), self._chosen(grid))

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate a probe refitted on train and val with the penalty chosen on val."""
        fitted = ["train", "val"]
        if self._options.solver == "adamw":
            return self._train(model, fitted, "test")
        features, test_features = self._features(model, fitted, "test")
        if model.task.multi_label:
            fit = self._one_vs_rest(model)
            targets = joined(partial(targets_of, model), fitted)
            again = partial(refit_one_vs_rest, fit, features, targets, test_features)
            return classify(model, "test", first_that_fits(again, devices()), self._chosen(fit))
        grid = self._grid(model)
        labels = joined(model.labels, fitted)
        predicted = first_that_fits(
            partial(refit, grid, features, labels, test_features), devices()
        )
        return Evaluation(predicted, model.labels("test"), self._chosen(grid))

    def _chosen(self, grid: GridFit | OneVsRest) -> Json:
        return {
            "l2": float(grid.l2[grid.chosen]),
            "val_score": float(grid.val_score[grid.chosen]),
            "rule": self._options.rule,
            "best_val_score": float(grid.val_score[grid.best]),
        }

    def _grid(self, model: ModelView) -> GridFit:
        """Return the grid of a model; `test` needs the one that `validate` fitted."""
        if self._fitted is None or self._fitted[0] is not model:
            features, val_features = self._features(model, ["train"], "val")
            train = features, model.labels("train")
            val = val_features, model.labels("val")
            metric, rule = model.task.metric, self._options.rule

            def fit(device: str) -> GridFit:
                return fit_grid(*train, *val, metric=metric, rule=rule, device=device)

            grid = first_that_fits(fit, devices())
            self._fitted = model, grid
        return self._fitted[1]

    def _one_vs_rest(self, model: ModelView) -> OneVsRest:
        """Return the grid of a model whose task has several labels per image."""
        if self._ranked is None or self._ranked[0] is not model:
            features, val_features = self._features(model, ["train"], "val")
            train, val = (targets_of(model, split) for split in ("train", "val"))
            shown = features, train, val_features, val

            def fit(device: str) -> OneVsRest:
                return fit_one_vs_rest(*shown, rule=self._options.rule, device=device)

            self._ranked = model, first_that_fits(fit, devices())
        return self._ranked[1]

    def _train(self, model: ModelView, fitted: list[str], predicted: str) -> Evaluation:
        """Evaluate the authors' probe."""
        features, others = map(tensor, self._features(model, fitted, predicted))
        labels = torch.from_numpy(joined(model.labels, fitted)).to(features.device)
        start = adamw.fresh(len(model.task.class_names), features.shape[1], _SEED)
        with float32_products():
            *_, last = adamw.epochs(start, features, labels, seed=_SEED)
        return Evaluation(last.predict(others).cpu().numpy(), model.labels(predicted), chosen={})

    def _features(
        self, model: ModelView, fitted: list[str], predicted: str
    ) -> tuple[FloatArray, FloatArray]:
        """Return normalised features of the splits to fit and to predict, float32 ``[n, dim]``."""
        projected = self._options.features == "projection"
        read = model.features if projected else model.penultimate
        left, right = joined(read, fitted), read(predicted)
        if self._options.normalise == "l2":
            # `ModelView.features` have unit length already.
            return (left, right) if projected else (_unit(left), _unit(right))
        mean, deviation = left.mean(axis=0), left.std(axis=0)
        deviation[deviation == 0] = 1
        return (left - mean) / deviation, (right - mean) / deviation


def _unit(features: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: FloatArray = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
