"""Evaluate a run's model: on val after every epoch, and on test once, at the end."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from bench.core.files import write_parquet
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.plugins import evaluator_of
from bench.plugins.evaluation import Evaluation
from bench.steps import loaded
from bench.tasks import find_task

if TYPE_CHECKING:
    from adapt.finetune import Adapted
    from adapt.models import Classifier
    from eval.features.model_features import ModelFeatures


class Verdict(NamedTuple):
    """The result of one evaluator, or of a part of it, on one split."""

    evaluator: str
    split: str
    evaluation: Evaluation


class Judge:
    """The evaluators of one run, and the features of the best epoch so far.

    Args:
        spec: The run.
        home: Where the task's images and the model are.
    """

    def __init__(self, spec: RunSpec, home: Home) -> None:
        self._home = home
        self._spec = spec
        self._model = str(home.find_weights(spec.model))
        self._images = loaded.task_images_of(spec.task, home, self._model)
        self._evaluators = {
            name: evaluator_of(name, options) for name, options in spec.evaluators.items()
        }
        self._selector = self._evaluators[spec.train.select_by]
        self._best_score = -math.inf
        self._best: dict[int, ModelFeatures] = {}

    def validate(self, classifier: "Classifier", epoch: int) -> float:
        """Return the score on val by which epochs are compared."""
        from eval.features.model_features import KEPT_BYTES
        from eval.metrics.intervals import value

        features = self._features(classifier, epoch)
        score = value(self._selector.validate(features), find_task(self._spec.task))
        if score > self._best_score:
            self._best_score = score
            self._best = {epoch: features} if features.nbytes <= KEPT_BYTES else {}
        return score

    def evaluate(self, adapted: "Adapted") -> list[Verdict]:
        """Evaluate the chosen epoch: by every evaluator on val before the first one opens test."""
        epoch = adapted.chosen.epoch
        # The classifier has the chosen epoch's weights again, so its features are still valid.
        features = self._best.get(epoch) or self._features(adapted.classifier, epoch)
        evaluators = self._evaluators.items()
        verdicts = [Verdict(name, "val", one.validate(features)) for name, one in evaluators]
        verdicts += [Verdict(name, "test", one.test(features)) for name, one in evaluators]
        return [
            Verdict(part, split, scored)
            for name, split, evaluation in verdicts
            for part, scored in evaluation.scored(name).items()
        ]

    def write_predictions(self, verdicts: list[Verdict], path: Path) -> None:
        """Write every test prediction: evaluator, split, key, label, predicted."""
        tables = []
        for name, split, evaluation in verdicts:
            if split != "test":
                continue
            predicted = np.atleast_2d(evaluation.predicted)
            keys = list(self._images.split(evaluation.split or split).keys)
            columns = {
                "evaluator": [name] * predicted.size,
                "split": [split] * predicted.size,
                "key": keys * len(predicted),
                "label": np.tile(evaluation.labels, len(predicted)),
                "predicted": predicted.ravel(),
            }
            tables.append(pl.DataFrame(columns))
        write_parquet(path, pl.concat(tables))

    def _features(self, classifier: "Classifier", epoch: int) -> "ModelFeatures":
        from eval.features.model_features import ModelFeatures

        return ModelFeatures(
            classifier,
            self._images,
            lambda: loaded.text_head_of(self._spec.task, self._model),
            # Only the unadapted model is shared between runs: it is every run's epoch 0.
            cache=self._home.data / "features" if epoch == 0 else None,
            model_hash=loaded.clip_of(self._model).model_hash,
        )
