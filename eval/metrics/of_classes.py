"""An evaluation, apart for the classes that had images in training and for those that had none.

Images are classified among all classes in both parts; only the images that are counted differ.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.core.arrays import TargetArray
from bench.core.records import SEEN_AND_UNSEEN, WhichClasses
from bench.plugins.evaluation import Evaluation


def apart(evaluation: Evaluation, seen: TargetArray) -> Iterator[tuple[WhichClasses, Evaluation]]:
    """Yield the evaluation of seen classes and that of unseen ones; none for a part without images.

    Of a task with one label per image, each has the images of its classes; images without a label
    (-1), as of an evaluator that does not classify, are in neither. In a multi-label task
    each ranks all images, by the scores of its classes alone.

    Args:
        evaluation: An evaluation on all images.
        seen: Which classes had images in training, bool ``[classes]``.
    """
    for name, wanted in zip(SEEN_AND_UNSEEN, (seen, ~seen), strict=True):
        if evaluation.targets is not None:
            part = _of_columns(evaluation, np.flatnonzero(wanted))
            has_images = part.targets is not None and bool(part.targets.any())
        else:
            is_of = (evaluation.labels >= 0) & wanted[evaluation.labels]
            part = _of_rows(evaluation, np.flatnonzero(is_of))
            has_images = bool(part.labels.size)
        if has_images:
            yield name, part


def _of_rows(evaluation: Evaluation, rows: np.ndarray) -> Evaluation:
    predicted, labels = evaluation.predicted[..., rows], evaluation.labels[rows]
    return replace(evaluation, predicted=predicted, labels=labels)


def _of_columns(evaluation: Evaluation, columns: np.ndarray) -> Evaluation:
    """Return a multi-label evaluation of some classes."""
    scores, targets = evaluation.scores, evaluation.targets
    return replace(
        evaluation,
        scores=None if scores is None else scores[:, columns],
        targets=None if targets is None else targets[:, columns],
    )
