"""What several evaluators share."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from bench.core.arrays import FloatArray, LabelArray, TargetArray
from bench.core.config import Config
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.task import Task
from bench.plugins.evaluation import Evaluation, ModelView
from eval.metrics.intervals import score

A = TypeVar("A", FloatArray, LabelArray, TargetArray)


class NothingChosen:
    """Base of evaluators that do the same on both splits, as they choose nothing."""

    needs_head = True

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
        return classify(model, split, model.head_logits(split))


def classify(
    model: ModelView, split: str, logits: FloatArray, chosen: Json | None = None
) -> Evaluation:
    """Return the classes of the highest logits, float32 ``[n, classes]``, on a split.

    In a multi-label task they are the scores by which images are ranked.
    """
    targets = model.targets(split)
    scores = None if targets is None else logits
    predicted = logits.argmax(axis=1)
    return Evaluation(predicted, model.labels(split), chosen or {}, scores=scores, targets=targets)


def check_one_label(task: Task, evaluator: str) -> None:
    """Make sure that each image of a task has one label.

    Raises:
        RequestError: If images have several, which the evaluator does not support.
    """
    if task.multi_label:
        raise RequestError(
            f"the evaluator {evaluator} needs one label per image; those of task {task.name} have "
            "several",
            f"leave it out: --set evaluators.{evaluator}=null",
        )


def targets_of(model: ModelView, split: str) -> TargetArray:
    """Return which classes each image has, bool ``[n, classes]``, in a multi-label task.

    Raises:
        ValueError: If each image has one label.
    """
    targets = model.targets(split)
    if targets is None:
        raise ValueError(f"task {model.task.name} has one label per image")
    return targets


def joined(read: Callable[[str], A], splits: Iterable[str]) -> A:
    """Return what a model view has of several splits, such as its labels, as one array."""
    return np.concatenate([read(split) for split in splits])


def best(candidates: Iterable[LabelArray], labels: LabelArray, metric: str) -> tuple[int, float]:
    """Return the index and the score of the best predictions, the earliest of equal ones."""
    scores = [score(predicted, labels, metric) for predicted in candidates]
    index = int(np.argmax(scores))
    return index, scores[index]
