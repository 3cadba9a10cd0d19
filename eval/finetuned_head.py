"""The trained head, trained on with the task's labelled images; the tower stays as it is.

A linear probe starts from nothing, this starts from what adaptation knows of the classes: the more
the two differ, the more of the task is in the head. It is trained as the authors train their probe,
without weight decay, which would pull it away from its start; the number of epochs is chosen on
val, none being a candidate, and the head is trained again on train and val for as many.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from bench.core.config import Config, Natural, Positive
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval.metrics.intervals import score
from eval.probe.adamw import epochs
from eval.probe.logistic import Linear


@evaluators.register("finetuned-head")
class FinetunedHead:
    """Judges a classifier after its head was trained on the task's own images."""

    class Options(Config, frozen=True, kw_only=True):
        """How long to train."""

        epochs: Positive = 50
        seed: Natural = 0

    def __init__(self, options: Options) -> None:
        self._options = options

    def validate(self, model: ModelView) -> Evaluation:
        """Judge the best epoch of training on train; of equal ones, the earliest."""
        val, truth = torch.from_numpy(model.features("val")), model.labels("val")
        answers = [head.predict(val).numpy() for head in self._heads(model, ["train"])]
        found = [score(predicted, truth, model.task.metric) for predicted in answers]
        best = int(np.argmax(found))
        return Evaluation(answers[best], truth, {"epoch": best, "val_score": found[best]})

    def test(self, model: ModelView) -> Evaluation:
        """Judge the head trained on train and val for the chosen number of epochs."""
        chosen = self.validate(model).chosen
        heads = self._heads(model, ["train", "val"])
        head = next(islice(heads, chosen["epoch"], None))
        predicted = head.predict(torch.from_numpy(model.features("test"))).numpy()
        return Evaluation(predicted, model.labels("test"), chosen)

    def _heads(self, model: ModelView, splits: list[str]) -> Iterator[Linear]:
        start = Linear(*map(torch.from_numpy, model.head()))
        features = torch.from_numpy(np.concatenate([model.features(split) for split in splits]))
        labels = torch.from_numpy(np.concatenate([model.labels(split) for split in splits]))
        yield start
        options = self._options
        yield from epochs(
            start, features, labels, seed=options.seed, count=options.epochs, weight_decay=0.0
        )
