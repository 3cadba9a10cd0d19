"""k nearest neighbours among the training images; k is chosen on validation data.

Votes are weighted by exp(similarity / 0.07), as in DINO and Wu et al. (2018). Test images have
their neighbours in train and val together, as the linear probe is refitted on both.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import msgspec
import numpy as np

from bench.core.arrays import FloatArray, LabelArray
from bench.core.config import Config, Positive
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._shared import best, classify, joined, targets_of
from eval.metrics import average_precision

TEMPERATURE = 0.07
"""The value of Wu et al. 2018 and of DINO's evaluation."""

_ROWS = 1024
"""Images whose similarities are in memory at a time."""


@evaluators.register("knn")
class NearestNeighbours:
    """Evaluates features by the classes of their nearest neighbours."""

    class Options(Config, frozen=True, kw_only=True):
        """How many neighbours vote."""

        k: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (1, 2, 5, 10, 20, 50, 100)
        """Candidates; a number above that of the images means all of them."""

    def __init__(self, options: Options) -> None:
        self._ks = sorted(set(options.k))

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate the best number of neighbours in train, the smallest of equal ones."""
        if model.task.multi_label:
            return self._ranked(model)
        votes, labels = _votes(model, ["train"], "val", self._ks), model.labels("val")
        index, score = best(votes, labels, model.task.metric)
        return Evaluation(votes[index], labels, {"k": self._ks[index], "val_score": score})

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate the chosen number of neighbours in train and val."""
        chosen = self.validate(model).chosen
        if model.task.multi_label:
            scores = _shares(model, ["train", "val"], "test", [chosen["k"]])[0]
            return classify(model, "test", scores, chosen)
        votes = _votes(model, ["train", "val"], "test", [chosen["k"]])
        return Evaluation(votes[0], model.labels("test"), chosen)

    def _ranked(self, model: ModelView) -> Evaluation:
        """Evaluate the number of neighbours that ranks validation images best."""
        candidates = _shares(model, ["train"], "val", self._ks)
        targets = targets_of(model, "val")
        values = [average_precision.mean(scores, targets) for scores in candidates]
        index = int(np.argmax(values))
        chosen = {"k": self._ks[index], "val_score": values[index]}
        return classify(model, "val", candidates[index], chosen)


def _shares(model: ModelView, bank: list[str], queries: str, ks: list[int]) -> FloatArray:
    """Return which share of the neighbours' weight has each class, float32 ``[ks, m, classes]``."""
    targets = joined(partial(targets_of, model), bank).astype(np.float64)
    shown = joined(model.features, bank), model.features(queries)
    shares = np.empty((len(ks), len(shown[1]), targets.shape[1]), np.float32)
    for rows, nearest, weights in _nearest(*shown, ks[-1]):
        for place, k in enumerate(ks):
            near, weight = nearest[:, :k], weights[:, :k]
            total = np.einsum("qk,qkc->qc", weight, targets[near])
            shares[place, rows] = total / weight.sum(axis=1, keepdims=True)
    return shares


def _votes(model: ModelView, bank: list[str], queries: str, ks: list[int]) -> LabelArray:
    return neighbours(
        joined(model.features, bank),
        joined(model.labels, bank),
        model.features(queries),
        ks,
        len(model.task.class_names),
    )


def neighbours(
    bank: FloatArray, labels: LabelArray, queries: FloatArray, ks: list[int], classes: int
) -> LabelArray:
    """Return the class that each query's nearest neighbours vote for.

    Args:
        bank: L2-normalised features, float32 ``[n, dim]``.
        labels: Their classes, int64 ``[n]``.
        queries: L2-normalised features, float32 ``[m, dim]``.
        ks: Numbers of neighbours, in ascending order.
        classes: Number of classes.

    Returns:
        int64 ``[len(ks), m]``.
    """
    voted = np.empty((len(ks), len(queries)), np.int64)
    for place, nearest, weights in _nearest(bank, queries, ks[-1]):
        rows = np.arange(len(nearest))[:, None]
        for index, k in enumerate(ks):
            votes = np.zeros((len(nearest), classes))
            np.add.at(votes, (rows, labels[nearest[:, :k]]), weights[:, :k])
            voted[index, place] = votes.argmax(axis=1)
    return voted


def _nearest(
    bank: FloatArray, queries: FloatArray, k: int
) -> Iterator[tuple[slice, LabelArray, FloatArray]]:
    """Yield some queries, their nearest neighbours, the nearest first, and their weights."""
    most = min(k, len(bank))
    for start in range(0, len(queries), _ROWS):
        similarity = queries[start : start + _ROWS] @ bank.T
        nearest = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(similarity, nearest, axis=1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, order, axis=1)
        closeness = np.take_along_axis(similarity, nearest, axis=1)
        weights = np.exp((closeness - closeness[:, :1]) / TEMPERATURE)
        yield slice(start, start + _ROWS), nearest, weights
