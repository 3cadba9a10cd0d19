"""k nearest neighbours among the training images, their number chosen on validation data.

The vote is weighted by exp(similarity / 0.07), as DINO and Wu et al. (2018) do; the neighbours of
test images are sought among train and val together, as the linear probe is refitted on both.
"""

from typing import Annotated

import msgspec
import numpy as np

from bench.core.arrays import FloatArray, LabelArray
from bench.core.config import Config, Positive
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval.metrics.intervals import score

TEMPERATURE = 0.07
"""Wu et al. 2018, and DINO's evaluation."""

_ROWS = 1024
"""Images whose similarities are held at once."""


@evaluators.register("knn")
class NearestNeighbours:
    """Judges features by the classes of their nearest neighbours."""

    class Options(Config, frozen=True, kw_only=True):
        """How many neighbours vote."""

        k: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (1, 2, 5, 10, 20, 50, 100)
        """Candidates; more than there are images means all."""

    def __init__(self, options: Options) -> None:
        self._ks = sorted(set(options.k))

    def validate(self, model: ModelView) -> Evaluation:
        """Judge the best number of neighbours among train; of equal ones, the smallest."""
        bank, labels = model.features("train"), model.labels("train")
        votes = neighbours(bank, labels, model.features("val"), self._ks, _classes(model))
        truth = model.labels("val")
        found = [score(predicted, truth, model.task.metric) for predicted in votes]
        best = int(np.argmax(found))
        chosen = {"k": self._ks[best], "val_score": found[best]}
        return Evaluation(votes[best], truth, chosen)

    def test(self, model: ModelView) -> Evaluation:
        """Judge the chosen number of neighbours among train and val."""
        chosen = self.validate(model).chosen
        bank = np.concatenate([model.features("train"), model.features("val")])
        labels = np.concatenate([model.labels("train"), model.labels("val")])
        votes = neighbours(bank, labels, model.features("test"), [chosen["k"]], _classes(model))
        return Evaluation(votes[0], model.labels("test"), chosen)


def neighbours(
    bank: FloatArray, labels: LabelArray, queries: FloatArray, ks: list[int], classes: int
) -> LabelArray:
    """Return the class that each query's nearest neighbours vote for.

    Args:
        bank: L2-normalised features, float32 ``[n, dim]``.
        labels: Their classes, int64 ``[n]``.
        queries: L2-normalised features, float32 ``[m, dim]``.
        ks: Numbers of neighbours, rising.
        classes: Number of classes.

    Returns:
        int64 ``[len(ks), m]``.
    """
    most = min(ks[-1], len(bank))
    found = np.empty((len(ks), len(queries)), np.int64)
    for start in range(0, len(queries), _ROWS):
        similarity = queries[start : start + _ROWS] @ bank.T
        nearest = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(similarity, nearest, axis=1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, order, axis=1)
        closeness = np.take_along_axis(similarity, nearest, axis=1)
        weights = np.exp((closeness - closeness[:, :1]) / TEMPERATURE)
        rows = np.arange(len(similarity))[:, None]
        for place, k in enumerate(ks):
            votes = np.zeros((len(similarity), classes))
            np.add.at(votes, (rows, labels[nearest[:, :k]]), weights[:, :k])
            found[place, start : start + _ROWS] = votes.argmax(axis=1)
    return found


def _classes(model: ModelView) -> int:
    return len(model.task.class_names)
