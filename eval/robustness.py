"""Robustness: the trained head on test images of another kind, where the task has some.

`results` puts them beside the `zero-shot` score on the test split itself.
"""

import numpy as np

from bench.core.config import Config
from bench.core.errors import RequestError
from bench.core.task import Task
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._head import classify


@evaluators.register("robustness")
class Robustness:
    """Judges a classifier by its own head on each of the task's shifted splits."""

    class Options(Config, frozen=True, kw_only=True):
        """There is nothing to choose."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def check(self, task: Task) -> None:
        """Make sure that the task has a shifted split."""
        if not task.shifted:
            raise RequestError(
                f"task {task.name} has no shifted split for the evaluator robustness",
                "leave it out, or list folders of images under `shifted` in the task's task.yaml",
            )

    def validate(self, model: ModelView) -> Evaluation:
        """Judge on the validation split, which every shifted split is selected by."""
        found = classify(model.head_logits("val"), model.labels("val"))
        parts = dict.fromkeys(model.task.shifted, found)
        return Evaluation(found.predicted, found.labels, chosen={}, parts=parts)

    def test(self, model: ModelView) -> Evaluation:
        """Judge on every shifted split."""
        parts = {name: self._on(model, name) for name in model.task.shifted}
        return Evaluation(
            np.concatenate([part.predicted for part in parts.values()]),
            np.concatenate([part.labels for part in parts.values()]),
            chosen={},
            parts=parts,
        )

    def _on(self, model: ModelView, split: str) -> Evaluation:
        found = classify(model.head_logits(split), model.labels(split))
        return Evaluation(found.predicted, found.labels, chosen={}, split=split)
