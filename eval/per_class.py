"""Accuracy class by class and confusions between classes, by the trained head.

In a multi-label task, the average precision of each class.

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
from eval.metrics import average_precision
from eval.metrics.intervals import ranked


@evaluators.register("per-class")
class PerClass(NothingChosen):
    """Reports classes apart in the record's details; its scores are those of `zero-shot`."""

    def _evaluate(self, model: ModelView, split: str) -> Evaluation:
        evaluation = super()._evaluate(model, split)
        if model.task.multi_label:
            return replace(evaluation, details=precisions(evaluation, model.task.class_names))
        return replace(evaluation, details=per_class(evaluation, model.task.class_names))


def precisions(evaluation: Evaluation, names: tuple[str, ...]) -> Json:
    """Return each class's average precision in a multi-label task, and what chance would reach.

    Args:
        evaluation: An evaluation with scores and targets.
        names: The classes' names.

    Returns:
        ``classes``: name, n, average_precision and average_precision_11 of every class that has
        images. ``chance``: the mean share of images with a class, which is the average precision of
        a random order.
    """
    shown = scores, targets = ranked(evaluation)
    counts = targets.sum(axis=0)
    area = average_precision.by_class(*shown)
    eleven = average_precision.by_class(*shown, average_precision.ELEVEN_POINTS)
    classes = [
        {
            "class": names[index],
            "n": int(counts[index]),
            "average_precision": float(area[index]),
            "average_precision_11": float(eleven[index]),
        }
        for index in np.flatnonzero(counts)
    ]
    return {"classes": classes, "chance": float(counts[counts > 0].mean() / len(scores))}


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
