"""Accuracy class by class and confusions between classes, by the trained head.

Which classes gained and lost most against the unadapted model is computed from the predictions of
two runs, by any evaluator, in `results`.
"""

from dataclasses import replace

import numpy as np

from bench.core.intervals import wilson
from bench.core.json_values import Json
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._shared import NothingChosen


@evaluators.register("per-class")
class PerClass(NothingChosen):
    """Reports classes apart in the record's details; its scores are those of `zero-shot`."""

    def _evaluate(self, model: ModelView, split: str) -> Evaluation:
        evaluation = super()._evaluate(model, split)
        return replace(evaluation, details=per_class(evaluation, model.task.class_names))


def per_class(evaluation: Evaluation, names: tuple[str, ...]) -> Json:
    """Return each class's accuracy with Wilson's 95 % interval, and the confusions.

    Args:
        evaluation: An evaluation of one trial.
        names: The classes' names.

    Returns:
        ``classes``: name, n, accuracy, ci_low and ci_high of every class that has images.
        ``confusions``: true class, predicted class and count, most frequent first; only those that
        occur.
    """
    matrix = confusion_matrix(evaluation, len(names))
    counts, right = matrix.sum(axis=1), matrix.diagonal()
    classes = []
    for index in np.flatnonzero(counts):
        n, hits = int(counts[index]), int(right[index])
        low, high = wilson(hits, n)
        accuracy = {"accuracy": hits / n, "ci_low": low, "ci_high": high}
        classes.append({"class": names[index], "n": n, **accuracy})
    wrong = matrix - np.diag(right)
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: (-wrong[*pair], pair))
    confusions = [[names[true], names[guess], int(wrong[true, guess])] for true, guess in pairs]
    return {"classes": classes, "confusions": confusions}


def confusion_matrix(evaluation: Evaluation, classes: int) -> np.ndarray:
    """Return counts of true classes (rows) and predicted ones, int64 ``[classes, classes]``."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (evaluation.labels, evaluation.predicted), 1)
    return matrix
