"""ImageNet's linear probe: SGD on random crops of the train split, ten learning rates at once.

StableRep's and SynCLR's protocol: features before the projection, batch norm without weights, 90
epochs of momentum, classifiers for ten learning rates (StableRep, code, main_linear.py; SynCLR,
code, EVALUATE.md, recommends the batch norm). There, the best rate and epoch are those of the
reported images. Here the rate is chosen on training images that are held out by the hash of their
names, the epoch is the last, and the classifier of that rate which was trained on the whole train
split predicts val and test. Neither chooses anything.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.core.arrays import LabelArray
from bench.core.config import AboveZero, Config, Natural, Positive
from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.core.task import Task
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from bench.runtime.float32 import float32_products
from eval._shared import check_one_label
from eval.metrics.intervals import score
from eval.probe.arrays import tensor
from eval.probe.sgd import Probes

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""StableRep, code, main_linear.py:82-83. SynCLR's table of settings leaves out 0.3."""


@dataclass(frozen=True)
class _Fit:
    """The classifiers of a model that were trained on the whole train split, and the chosen one."""

    model: ModelView
    probes: Probes
    which: int
    chosen: Json


@evaluators.register("imagenet-probe")
class ImagenetProbe:
    """Evaluates features by a linear classifier trained on random crops of the train split."""

    class Options(Config, frozen=True, kw_only=True):
        """Which features, of which views, and how classifiers are trained."""

        features: Literal["penultimate", "projection"] = "penultimate"
        """Those before the projection into the space shared with texts, or normalised ones after
        it."""
        augment: bool = True
        """Whether an epoch has new random crops, each flipped or not, which the tower embeds again;
        else the features of whole images, embedded once."""
        batch_norm: bool = True
        """Whether features are normalised by their batch, without weights; in predictions, by
        running averages of the batches: plain means at first, torch's from the tenth step on."""
        epochs: Positive = 90
        """Passes over the train split; learning rates fall along half a cosine."""
        batch_size: Positive = 1024
        """Most images of a step."""
        rates: Annotated[tuple[AboveZero, ...], msgspec.Meta(min_length=1)] = RATES
        """Learning rates of a batch of 256 images; they grow in proportion to the batch."""
        held_out: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
        """Share of the training images that the rate is chosen on."""
        seed: Natural = 0
        """Seed of crops, initial weights and the order of images; the same in every run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fitted: _Fit | None = None

    def check(self, task: Task) -> None:
        """Check that an image has one label, which the loss needs."""
        check_one_label(task, "imagenet-probe")

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate the classifier of the chosen rate on val."""
        return self._evaluate(model, "val")

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate the same classifier on test."""
        return self._evaluate(model, "test")

    def _evaluate(self, model: ModelView, split: str) -> Evaluation:
        fit = self._fit(model)
        with float32_products():
            scores = fit.probes.scores(self._whole(model, split), fit.which)
        if not scores.isfinite().all():
            raise _diverged()
        return Evaluation(_classes(scores), model.labels(split), fit.chosen)

    def _fit(self, model: ModelView) -> _Fit:
        if self._fitted is None or self._fitted.model is not model:
            with float32_products():
                self._fitted = self._train(model)
        return self._fitted

    def _train(self, model: ModelView) -> _Fit:
        """Train on the whole split and, on the same views, without the images held out."""
        whole = self._whole(model, "train")
        labels = torch.from_numpy(model.labels("train")).to(whole.device)
        rows, held_out = _parted(model.keys("train"), self._options.held_out)
        choosing, final = self._probes(model, whole[rows]), self._probes(model, whole)
        for views in self._views(model, whole):
            choosing.epoch(views[rows], labels[rows])
            final.epoch(views, labels)
        rates = sorted(set(self._options.rates))
        answers = [choosing.scores(whole[held_out], which) for which in range(len(rates))]
        which, best = _best(answers, labels[held_out], model.task.metric)
        chosen: Json = {"rate": rates[which], "held_out": len(held_out), "held_out_score": best}
        return _Fit(model, final, which, chosen)

    def _probes(self, model: ModelView, features: Tensor) -> Probes:
        options = self._options
        return Probes(
            features,
            len(model.task.class_names),
            sorted(set(options.rates)),
            epochs=options.epochs,
            batch_size=options.batch_size,
            batch_norm=options.batch_norm,
            seed=options.seed,
        )

    def _whole(self, model: ModelView, split: str) -> Tensor:
        """Return the features of a split's whole images, float32 ``[n, dim]``."""
        penultimate = self._options.features == "penultimate"
        return tensor((model.penultimate if penultimate else model.features)(split))

    def _views(self, model: ModelView, whole: Tensor) -> Iterator[Tensor]:
        """Yield features of the train split for each epoch, float32 ``[n, dim]``."""
        options = self._options
        if not options.augment:
            yield from repeat(whole, options.epochs)
            return
        for epoch in range(options.epochs):
            yield tensor(model.augmented("train", options.features, (options.seed, epoch)))


def _parted(keys: Sequence[str], share: float) -> tuple[LabelArray, LabelArray]:
    """Return the rows of images to train on, and those of a share that is held out, at least one.

    The images whose keys have the smallest SHA-256 are held out, whatever their order.

    Raises:
        BenchError: If there is one image, which cannot be both.
    """
    if len(keys) < 2:
        raise BenchError(
            f"imagenet-probe needs 2 training images, and the task has {len(keys)}",
            "leave it out: --set evaluators.imagenet-probe=null",
        )
    order = sorted(range(len(keys)), key=lambda row: hashlib.sha256(keys[row].encode()).digest())
    count = max(1, int(len(keys) * share))
    return np.sort(order[count:]), np.sort(order[:count])


def _best(answers: Sequence[Tensor], labels: Tensor, metric: str) -> tuple[int, float]:
    """Return the index and the score of the best logits, of equal ones that of the least loss.

    A few images held out give many rates the same score. A classifier that is not finite, whose
    answer would be the first class, is none of them.

    Raises:
        BenchError: If none is finite.
    """
    truth = labels.cpu().numpy()
    finite = [index for index, logits in enumerate(answers) if logits.isfinite().all()]
    if not finite:
        raise _diverged()
    scores = {index: score(_classes(answers[index]), truth, metric) for index in finite}
    losses = {index: float(cross_entropy(answers[index], labels)) for index in finite}
    index = max(finite, key=lambda each: (scores[each], -losses[each]))
    return index, scores[index]


def _diverged() -> BenchError:
    return BenchError("a classifier of imagenet-probe is not finite", "give it lower rates")


def _classes(logits: Tensor) -> LabelArray:
    predicted: LabelArray = logits.argmax(dim=1).cpu().numpy()
    return predicted
