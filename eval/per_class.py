"""Accuracy class by class, and which classes are taken for which; by the trained head.

Which classes gained and lost most against the unadapted model is asked of the predictions of two
runs, whatever the evaluator: `results.classes`.
"""

import numpy as np

from bench.core.config import Config
from bench.core.intervals import wilson
from bench.core.json_values import Json
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._head import classify


@evaluators.register("per-class")
class PerClass:
    """Tells the classes apart, in the record's details; its scores are those of `zero-shot`."""

    class Options(Config, frozen=True, kw_only=True):
        """There is nothing to choose."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def validate(self, model: ModelView) -> Evaluation:
        """Judge on the validation split."""
        return self._judge(model, "val")

    def test(self, model: ModelView) -> Evaluation:
        """Judge on the test split."""
        return self._judge(model, "test")

    def _judge(self, model: ModelView, split: str) -> Evaluation:
        found = classify(model.head_logits(split), model.labels(split))
        details = per_class(found, model.task.class_names)
        return Evaluation(found.predicted, found.labels, chosen={}, details=details)


def per_class(evaluation: Evaluation, names: tuple[str, ...]) -> Json:
    """Return each class's accuracy with Wilson's 95 % interval, and the confusions.

    Args:
        evaluation: Of one draw.
        names: The classes' names.

    Returns:
        ``classes``: name, n, accuracy, ci_low and ci_high of every class that has images;
        ``confusions``: the confusion matrix off its diagonal, zeros left out: the true class, the
        predicted one and the count, most frequent first.
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
    """Return how often each true class (rows) was taken for which, int64 ``[classes, classes]``."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (evaluation.labels, evaluation.predicted), 1)
    return matrix
