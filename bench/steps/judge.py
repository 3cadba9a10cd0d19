"""Evaluate a run's models: on val after every epoch, and on test once, at the end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from bench.core.files import write_parquet
from bench.core.paths import Home
from bench.core.records import AtEpoch, Score
from bench.core.specs import RunSpec
from bench.plugins import evaluator_of
from bench.plugins.evaluation import Evaluation, Evaluator
from bench.steps import loaded

if TYPE_CHECKING:
    from adapt.finetune import Adapted
    from adapt.models import Classifier
    from adapt.training import Validation
    from eval.features.model_features import ModelFeatures


class Verdict(NamedTuple):
    """The result of one evaluator, or of a part of it, on one split, at one of the epochs."""

    evaluator: str
    split: str
    at_epoch: AtEpoch
    evaluation: Evaluation


def scores_of_classes(
    verdicts: Sequence[Verdict], class_names: Sequence[str], empty: Sequence[str]
) -> list[Score]:
    """Return test scores apart for classes with and without images in training.

    Args:
        verdicts: What the evaluators found.
        class_names: The task's classes.
        empty: Those without an image among the ones trained on; for none, there is nothing apart.
    """
    from eval.metrics.intervals import scores
    from eval.metrics.of_classes import apart

    seen = np.array([name not in set(empty) for name in class_names])
    return [
        score
        for name, split, at_epoch, evaluation in verdicts
        for classes, part in (apart(evaluation, seen) if empty and split == "test" else ())
        for score in scores(name, split, at_epoch, part, classes)
    ]


@dataclass(frozen=True)
class _Candidate:
    """A model, as an epoch left it: its features, and evaluators that know no other model."""

    features: "ModelFeatures"
    evaluators: dict[str, Evaluator]

    def on(self, split: str) -> dict[str, Evaluation]:
        """Return every evaluator's results on val or on test, those of parts by their own names."""
        results = {
            name: one.validate(self.features) if split == "val" else one.test(self.features)
            for name, one in self.evaluators.items()
        }
        return {
            part: scored
            for name, evaluation in results.items()
            for part, scored in evaluation.scored(name).items()
        }


class Judge:
    """The evaluators of one run, and the models of the epochs that may be scored at the end.

    Args:
        spec: The run.
        home: Where the task's images and the model are.
    """

    def __init__(self, spec: RunSpec, home: Home) -> None:
        self._home = home
        self._spec = spec
        self._task = loaded.task_of(spec).at(home)
        self._model = str(home.find_weights(spec.model))
        self._images = loaded.task_images_of(self._task, home, self._model)
        self._scores: dict[int, float] = {}
        self._kept: dict[int, _Candidate] = {}

    def validate(self, classifier: "Classifier", epoch: int) -> "Validation":
        """Return the score on val by which epochs are compared, and the features' rank there."""
        from adapt.training import Validation
        from eval.metrics.effective_rank import effective_rank
        from eval.metrics.intervals import value

        self._keep_the_best()
        candidate = self._candidate(classifier, epoch)
        selector = candidate.evaluators[self._spec.train.select_by]
        score = value(selector.validate(candidate.features), self._task)
        self._scores[epoch], self._kept[epoch] = score, candidate
        return Validation(score, round(effective_rank(candidate.features.seen("val")), 3))

    def evaluate(self, adapted: "Adapted") -> list[Verdict]:
        """Evaluate the chosen epoch, the best trained one and the last, equal ones once.

        Every evaluator judges all of them on val before the first one opens test.
        """
        candidates = {
            epoch: self._kept.get(epoch) or self._candidate(adapted.classifier, epoch)
            for epoch in sorted(set(adapted.epochs.values()))
        }
        splits = ("val", "test")
        results = {}
        for split, epoch in product(splits, candidates):
            # Its features and heads are computed when an evaluator asks for them.
            adapted.load(epoch)
            results[split, epoch] = candidates[epoch].on(split)
        return [
            Verdict(name, split, at_epoch, evaluation)
            for split, (at_epoch, epoch) in product(splits, adapted.epochs.items())
            for name, evaluation in results[split, epoch].items()
        ]

    def write_predictions(self, verdicts: list[Verdict], adapted: "Adapted", path: Path) -> None:
        """Write the test predictions of the chosen epoch and, if it is another, the trained one.

        Columns: evaluator, split, at_epoch, key, label, predicted; in a multi-label task the label
        is null, and ``correct`` is what an image adds to the mean average precision. The same holds
        for mIoU, of images that were segmented.
        """
        from eval.metrics import average_precision, mean_iou
        from eval.metrics.intervals import ranked

        another = adapted.epochs["trained"] != adapted.epochs["chosen"]
        written = {"chosen", "trained"} if another else {"chosen"}
        tables = []
        for name, split, at_epoch, evaluation in verdicts:
            if split != "test" or at_epoch not in written:
                continue
            predicted = np.atleast_2d(evaluation.predicted)
            overlap = evaluation.overlap
            keys = list((overlap or self._images.split(evaluation.split or split)).keys)
            columns: dict[str, object] = {
                "evaluator": [name] * predicted.size,
                "split": [split] * predicted.size,
                "at_epoch": [at_epoch] * predicted.size,
                "key": keys * len(predicted),
                "label": np.tile(evaluation.labels, len(predicted)),
                "predicted": predicted.ravel(),
            }
            nothing = pl.Series(dtype=pl.Int64).extend_constant(None, predicted.size)
            if overlap is not None:
                columns |= {"label": nothing, "correct": mean_iou.contributions(overlap)}
            elif self._task.multi_label:
                added = average_precision.contributions(*ranked(evaluation))
                columns |= {"label": nothing, "correct": added}
            tables.append(pl.DataFrame(columns))
        write_parquet(path, pl.concat(tables, how="diagonal"))

    def _keep_the_best(self) -> None:
        """Forget all models but the best one and the best one after epoch 0, if they are small."""
        from eval.features.model_features import KEPT_BYTES

        def best(epochs: Iterable[int]) -> int | None:
            return max(epochs, key=lambda epoch: (self._scores[epoch], -epoch), default=None)

        wanted = best(self._scores), best(self._scores.keys() - {0})
        self._kept = {
            epoch: candidate
            for epoch, candidate in self._kept.items()
            if epoch in wanted and candidate.features.nbytes <= KEPT_BYTES
        }

    def _candidate(self, classifier: "Classifier", epoch: int) -> _Candidate:
        from eval.features.model_features import ModelFeatures

        # Only the fetched model is shared between runs: it is epoch 0 of all that start from it.
        shared = epoch == 0 and self._spec.train.init == "pretrained"
        features = ModelFeatures(
            classifier,
            self._images,
            lambda: loaded.text_head_of(self._task, self._model),
            cache=self._home.data / "features" if shared else None,
            model_hash=loaded.clip_of(self._model).model_hash,
        )
        evaluators = self._spec.evaluators.items()
        return _Candidate(features, {name: evaluator_of(name, one) for name, one in evaluators})
