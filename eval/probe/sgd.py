"""Linear classifiers of the same features, one for each learning rate, trained together by SGD.

This is the training of ImageNet's linear probe (StableRep, code, main_linear.py): momentum 0.9, no
weight decay, half a cosine from each step to the next. All classifiers see the same images in the
same order, so one product of matrices serves them all.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bench.core.schedules import half_cosine

MOMENTUM = 0.9
DEVIATION = 0.01
"""Standard deviation of the initial weights; biases begin at 0. Both are main_linear.py's."""

RATE_BATCH = 256
"""A rate is that of a batch of so many images, and grows with the batch (main_linear.py)."""

_STATISTICS_MOMENTUM, _EPSILON = 0.1, 1e-5
"""Those of torch's batch norm, which begins with a mean of 0 and a variance of 1. After ten steps
these are a third of its averages, after ninety 1e-4. Here averages begin as plain means of the
batches so far, and go on as torch's from the tenth step on."""


class Probes:
    """Linear classifiers, one for each learning rate.

    Args:
        features: What the training images' features are like in number, kind and place, float
            ``[n, dim]``; they may be others in each epoch.
        classes: Number of classes.
        rates: Learning rates of a batch of 256 images, one for each classifier.
        epochs: Epochs after which the learning rates have fallen to zero.
        batch_size: Most images of a step. An epoch is cut into batches of one size, give or take an
            image.
        batch_norm: Whether features are normalised by the mean and the deviation of their batch,
            without weights; in predictions, by running averages of these, in which nothing but
            batches counts.
        seed: Decides the initial weights, the same for all classifiers, and the order of images.
    """

    def __init__(  # noqa: PLR0913 (what a training is)
        self,
        features: Tensor,
        classes: int,
        rates: Sequence[float],
        *,
        epochs: int,
        batch_size: int,
        batch_norm: bool,
        seed: int,
    ) -> None:
        n, dim = features.shape
        self._generator = torch.Generator().manual_seed(seed)
        start = torch.randn(classes, dim, generator=self._generator, dtype=features.dtype)
        # The last column is the bias, whose feature is 1.
        first = functional.pad(DEVIATION * start, (0, 1)).to(features.device)
        self._weights = first.repeat(len(rates), 1, 1)
        self._velocity = torch.zeros_like(self._weights)
        self._parts = math.ceil(n / batch_size)
        self._rates = (
            features.new_tensor(rates)[:, None, None] * math.ceil(n / self._parts) / RATE_BATCH
        )
        self._step, self._steps = 0, self._parts * epochs
        self._statistics = (features.new_zeros(dim), features.new_ones(dim)) if batch_norm else None

    def epoch(self, features: Tensor, labels: Tensor) -> None:
        """Train on all images once, in a random order.

        Args:
            features: float ``[n, dim]``.
            labels: int64 ``[n]``, on the same device.
        """
        order = torch.randperm(len(features), generator=self._generator).to(features.device)
        for rows in order.tensor_split(self._parts):
            self._take_step(features[rows], labels[rows])

    def scores(self, features: Tensor, which: int) -> Tensor:
        """Return the logits of one of the classifiers, float ``[m, classes]``."""
        if self._statistics is not None:
            features = _normalised(features, *self._statistics)
        weights = self._weights[which]
        return functional.linear(features, weights[:, :-1], weights[:, -1])

    def _take_step(self, features: Tensor, labels: Tensor) -> None:
        if self._statistics is not None:
            features = self._in_batch(features)
        features = functional.pad(features, (0, 1), value=1.0)
        logits = features @ self._weights.flatten(0, 1).T
        # The gradient of the mean cross-entropy by the logits, [b, classifiers, classes].
        error = logits.view(len(features), *self._weights.shape[:2]).softmax(dim=2)
        error[torch.arange(len(labels), device=labels.device), :, labels] -= 1
        gradient = (error.flatten(1).T @ features).view_as(self._weights) / len(labels)
        self._velocity.mul_(MOMENTUM).add_(gradient)
        self._weights.sub_(self._rates * half_cosine(self._step, self._steps) * self._velocity)
        self._step += 1

    def _in_batch(self, features: Tensor) -> Tensor:
        """Return a batch's features, normalised, and take its statistics into the averages."""
        mean, variance = features.mean(dim=0), features.var(dim=0, correction=0)
        unbiased = variance * len(features) / max(len(features) - 1, 1)
        share = max(_STATISTICS_MOMENTUM, 1 / (self._step + 1))
        for average, new in zip(self._statistics or (), (mean, unbiased), strict=True):
            average.lerp_(new, share)
        return _normalised(features, mean, variance)


def _normalised(features: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return (features - mean) / (variance + _EPSILON).sqrt()
