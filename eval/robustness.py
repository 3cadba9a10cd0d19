"""Robustness: the trained head on the task's shifted test images, if it has any.

`results` compares them with the `zero-shot` score on the test split itself.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from bench.core.errors import RequestError
from bench.core.task import Task
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._shared import NothingChosen, classify


@evaluators.register("robustness")
class Robustness(NothingChosen):
    """Evaluates a classifier by its own head on each of the task's shifted splits."""

    def check(self, task: Task) -> None:
        """Check that the task has a shifted split.

        Raises:
            RequestError: If it has none.
        """
        if not task.shifted:
            raise RequestError(
                f"task {task.name} has no shifted split for the evaluator robustness",
                "leave it out, or list folders of images under `shifted` in the task's task.yaml",
            )

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate on the validation split, by which the epoch is chosen for all shifted splits."""
        evaluation = self._evaluate(model, "val")
        return replace(evaluation, parts=dict.fromkeys(model.task.shifted, evaluation))

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate on every shifted split."""
        parts = {name: self._on(model, name) for name in model.task.shifted}
        names = ("predicted", "labels", "scores", "targets")
        whole = {name: _joined([getattr(part, name) for part in parts.values()]) for name in names}
        return Evaluation(**whole, chosen={}, parts=parts)

    def _on(self, model: ModelView, split: str) -> Evaluation:
        """Evaluate on one shifted split."""
        logits = model.head_logits(split)
        if split in model.task.own_classes_only:
            # ImageNet-R and -A have 200 classes of the 1,000, and their authors score among those.
            logits = logits.copy()
            logits[:, np.setdiff1d(np.arange(logits.shape[1]), model.labels(split))] = -np.inf
        return replace(classify(model, split, logits), split=split)


def _joined(arrays: list[Any]) -> Any:  # noqa: ANN401 (arrays of any type)
    """Return arrays as one; None where there are none."""
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if there else None
