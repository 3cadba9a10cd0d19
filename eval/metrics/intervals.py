"""Accuracy, mean accuracy per class, mean average precision and mIoU, with 95 % intervals.

The intervals are for the sampling of test images: Wilson's, and a bootstrap for the last two.

Several trials, as of few shots, are averaged image by image. The interval is for the choice of test
images alone; the value of each trial is kept beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bench.core.arrays import FloatArray, LabelArray, TargetArray
from bench.core.errors import RequestError
from bench.core.intervals import wilson
from bench.core.records import AtEpoch, Score, WhichClasses
from bench.core.task import Task
from bench.plugins.evaluation import Evaluation
from eval.metrics import average_precision, mean_iou
from eval.metrics.average_precision import AREA, ELEVEN_POINTS, PLAIN, Summary

Interval = tuple[float, float, float]
"""An estimate with its lower and upper limit."""


def accuracy(evaluation: Evaluation) -> Interval:
    """Return the share of images that are classified correctly."""
    right = float(evaluation.hits.sum())
    n = len(evaluation.labels)
    return right / n, *wilson(right, n)


def mean_per_class(evaluation: Evaluation) -> Interval:
    """Return the unweighted mean of the accuracies of all classes that have images.

    Images are sampled within their class, so variances add up over classes. The sum sets the sample
    size of a Wilson interval. For the variance alone, each class gets one more image, right about
    as often as the others: five out of five is not certainty.
    """
    _, index = np.unique(evaluation.labels, return_inverse=True)
    n = np.bincount(index)
    right = np.bincount(index, weights=evaluation.hits)
    mean = float(np.mean(right / n))
    prior = (mean * len(n) + 1) / (len(n) + 2)
    share = (right + prior) / (n + 1)
    variance = np.sum(share * (1 - share) / n) / len(n) ** 2
    size = float(share.mean() * (1 - share.mean()) / variance)
    return mean, *wilson(mean * size, size)


METRICS: dict[str, Callable[[Evaluation], Interval]] = {
    "accuracy": accuracy,
    "mean-per-class": mean_per_class,
}

MULTI_LABEL_METRICS: dict[str, Summary] = {
    "mean-average-precision": AREA,
    "mean-average-precision-11": ELEVEN_POINTS,
    "mean-average-precision-plain": PLAIN,
}
"""Of a task whose images have several labels; the second is VOC2007's own, the third
scikit-learn's."""

MIOU = "miou"
"""Of an evaluator that segments images, whatever the task's metric."""


def ranked(evaluation: Evaluation) -> tuple[FloatArray, TargetArray]:
    """Return the scores and the targets of a multi-label evaluation, both ``[n, classes]``.

    Raises:
        RequestError: If the evaluator gives no scores.
    """
    if evaluation.scores is None or evaluation.targets is None:
        raise RequestError(
            "an evaluator gives no scores per class, by which a multi-label task ranks its images",
            "leave it out, or return `scores` and `targets` in its Evaluation",
        )
    return evaluation.scores, evaluation.targets


def value(evaluation: Evaluation, task: Task) -> float:
    """Return the metric of an evaluation by which models are compared: the task's, or mIoU."""
    if evaluation.overlap is not None:
        return mean_iou.mean(evaluation.overlap)
    if task.multi_label:
        return average_precision.mean(*ranked(evaluation), MULTI_LABEL_METRICS[task.metric])
    return METRICS[task.metric](evaluation)[0]


def score(predicted: LabelArray, labels: LabelArray, metric: str) -> float:
    """Return a metric of predictions and labels, int64 ``[n]``, by which to choose."""
    return METRICS[metric](Evaluation(predicted, labels, chosen={}))[0]


def scores(
    evaluator: str,
    split: str,
    at_epoch: AtEpoch,
    evaluation: Evaluation,
    classes: WhichClasses = "all",
) -> list[Score]:
    """Return every metric of an evaluation, with its interval.

    Args:
        evaluator: The evaluator's name.
        split: What it evaluated on.
        at_epoch: Which epoch's model.
        evaluation: The evaluation.
        classes: Which classes it is of.
    """
    rows = []
    for metric, (estimate, low, high), trials in _measured(evaluation):
        rows.append(
            Score(
                evaluator=evaluator,
                split=split,
                at_epoch=at_epoch,
                metric=metric,
                value=estimate,
                n=len(evaluation.labels),
                ci_low=low,
                ci_high=high,
                classes=classes,
                chosen=evaluation.chosen,
                trials=trials,
            )
        )
    return rows


def _measured(evaluation: Evaluation) -> Iterator[tuple[str, Interval, list[float]]]:
    """Yield each metric with its estimate, its interval, and its value in each trial."""
    if evaluation.overlap is not None:
        yield MIOU, (mean_iou.mean(evaluation.overlap), *mean_iou.interval(evaluation.overlap)), []
        return
    if evaluation.targets is None:
        trials = _trials(evaluation)
        for name, measure in METRICS.items():
            yield name, measure(evaluation), [measure(trial)[0] for trial in trials]
        return
    shown = ranked(evaluation)
    ends = average_precision.intervals(*shown, list(MULTI_LABEL_METRICS.values()))
    for (name, summary), (low, high) in zip(MULTI_LABEL_METRICS.items(), ends, strict=True):
        yield name, (average_precision.mean(*shown, summary), low, high), []


def _trials(evaluation: Evaluation) -> list[Evaluation]:
    """Return one evaluation per trial; none, if there was but one."""
    if evaluation.predicted.ndim == 1:
        return []
    return [replace(evaluation, predicted=predicted) for predicted in evaluation.predicted]
