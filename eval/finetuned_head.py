"""The adapted head, trained further on the task's labelled images; the tower is not changed.

A linear probe starts from nothing; this starts from what adaptation knows of the classes. The more
the two differ, the more of the task is in the head. It is trained as the authors train their probe,
but without weight decay, which would pull it away from its start. The number of epochs is chosen on
val, where 0 is a candidate. The head is then trained on train and val for as many.
"""

from collections.abc import Iterator
from itertools import islice

import torch

from bench.core.config import Config, Natural, Positive
from bench.core.task import Task
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._shared import best, check_one_label, joined
from eval.probe.adamw import epochs
from eval.probe.logistic import Linear


@evaluators.register("finetuned-head")
class FinetunedHead:
    """Evaluates a classifier after its head was trained on the task's own images."""

    needs_head = True

    class Options(Config, frozen=True, kw_only=True):
        """How long to train."""

        epochs: Positive = 50
        """Most passes over the train split; how many is chosen on val."""
        seed: Natural = 0
        """Seed of the order of images; the same in every run."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def check(self, task: Task) -> None:
        """Check that an image has one label, which the loss needs."""
        check_one_label(task, "finetuned-head")

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate the best epoch of training on train, the earliest of equal ones."""
        features, labels = torch.from_numpy(model.features("val")), model.labels("val")
        predicted = [head.predict(features).numpy() for head in self._heads(model, ["train"])]
        epoch, score = best(predicted, labels, model.task.metric)
        return Evaluation(predicted[epoch], labels, {"epoch": epoch, "val_score": score})

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate the head trained on train and val for the chosen number of epochs."""
        chosen = self.validate(model).chosen
        heads = self._heads(model, ["train", "val"])
        head = next(islice(heads, chosen["epoch"], None))
        predicted = head.predict(torch.from_numpy(model.features("test"))).numpy()
        return Evaluation(predicted, model.labels("test"), chosen)

    def _heads(self, model: ModelView, splits: list[str]) -> Iterator[Linear]:
        start = Linear(*map(torch.from_numpy, model.head()))
        features = torch.from_numpy(joined(model.features, splits))
        labels = torch.from_numpy(joined(model.labels, splits))
        yield start
        options = self._options
        yield from epochs(
            start, features, labels, seed=options.seed, count=options.epochs, weight_decay=0.0
        )
