"""What several evaluators share."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from bench.core.arrays import FloatArray, LabelArray
from bench.core.config import Config
from bench.plugins.evaluation import Evaluation, ModelView
from eval.metrics.intervals import score

A = TypeVar("A", FloatArray, LabelArray)


class NothingChosen:
    """Base of evaluators that do the same on both splits, as they choose nothing."""

    class Options(Config, frozen=True, kw_only=True):
        """There is nothing to choose."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate on the validation split."""
        return self._evaluate(model, "val")

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate on the test split."""
        return self._evaluate(model, "test")

    def _evaluate(self, model: ModelView, split: str) -> Evaluation:
        return classify(model.head_logits(split), model.labels(split))


def classify(logits: FloatArray, labels: LabelArray) -> Evaluation:
    """Return the classes of the highest logits, float32 ``[n, classes]``, with the labels."""
    return Evaluation(logits.argmax(axis=1), labels, chosen={})


def joined(read: Callable[[str], A], splits: Iterable[str]) -> A:
    """Return what a model view has of several splits, such as its labels, as one array."""
    return np.concatenate([read(split) for split in splits])


def best(candidates: Iterable[LabelArray], labels: LabelArray, metric: str) -> tuple[int, float]:
    """Return the index and the score of the best predictions, the earliest of equal ones."""
    scores = [score(predicted, labels, metric) for predicted in candidates]
    index = int(np.argmax(scores))
    return index, scores[index]
