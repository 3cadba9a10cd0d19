"""Linear heads on frozen patch tokens, one per learning rate, all trained at once.

The protocol is DINOv2's linear one (Oquab 2023, section 7.4): logits are linear in a patch token,
and bilinear between patches. The settings are those of its published head
(``dinov2_vitb14_ade20k_linear_config.py``): AdamW with 0.9 and 0.999, weight decay 1e-4, batches of
16 images, 40,000 steps, of which the first 1,500 warm up before the learning rate falls on a line
to 0; its learning rate, 1e-3, is one of ours. It has batch norm before the linear layer. Here every
dimension has mean 0 and deviation 1 over all training tokens, which is the same at the end, and
without statistics that depend on batches. Its scaling, cropping, flips and colours are left out, as
a token is computed once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.core.arrays import LabelArray, MaskArray
from bench.core.errors import BenchError
from bench.runtime.float32 import float32_products

BETAS = (0.9, 0.999)
WEIGHT_DECAY = 1e-4
WARMUP = 1500 / 40_000
"""DINOv2's; the last is a share of the steps."""

_INITIAL = 0.01
"""Deviation of the initial weights: that of convolutions in mmsegmentation's heads."""

_AT_ONCE = 2**27
"""Logits of pixels for which a loss is computed at a time: 512 MiB."""

_ROWS = 256
_IGNORED = 255

Tokens = NDArray[np.float16]
"""Patch tokens of images, ``[n, rows, columns, width]``."""


@dataclass(frozen=True)
class Head:
    """A linear head.

    Attributes:
        weight: float32 ``[classes, width]``.
        bias: float32 ``[classes]``.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, tokens: Tensor) -> Tensor:
        """Return the logits of patches ``[b, rows, columns, width]``, ``[b, classes, rows, …]``."""
        return functional.linear(tokens, self.weight, self.bias).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Recipe:
    """How heads are trained.

    Attributes:
        rates: Highest learning rates, one a head.
        steps: Optimiser steps.
        batch_size: Images in a step, or all where there are fewer.
        seed: Of the order of images and of the initial weights, which all heads share.
    """

    rates: Sequence[float]
    steps: int
    batch_size: int
    seed: int


def fit_heads(
    tokens: Tokens, masks: MaskArray, classes: int, recipe: Recipe, device: str
) -> list[Head]:
    """Return a head trained with each learning rate; they see the same batches.

    Args:
        tokens: Of the training images.
        masks: Their masks, all of one size, uint8 ``[n, h, w]``: 1 to classes, or 0 for pixels that
            do not count.
        classes: Number of classes.
        recipe: How to train.
        device: Where to train.
    """
    mean, deviation = (value.to(device) for value in _moments(tokens))
    start = torch.randn(
        classes, tokens.shape[3], generator=torch.Generator().manual_seed(recipe.seed)
    ).to(device)
    heads = [
        Head(nn.Parameter(_INITIAL * start), nn.Parameter(torch.zeros(classes, device=device)))
        for _ in recipe.rates
    ]
    optimiser = torch.optim.AdamW(
        [{"params": [head.weight, head.bias]} for head in heads],
        betas=BETAS,
        weight_decay=WEIGHT_DECAY,
    )
    with float32_products():
        for step, rows in enumerate(_batches(len(tokens), recipe)):
            for group, rate in zip(optimiser.param_groups, recipe.rates, strict=True):
                group["lr"] = rate * share_of_rate(step, recipe.steps)
            shown = (torch.from_numpy(tokens[rows]).to(device).float() - mean) / deviation
            truth = torch.from_numpy(masks[rows].astype(np.int64)).to(device)
            optimiser.zero_grad()
            for head in heads:
                _backward(head, shown, torch.where(truth > 0, truth - 1, _IGNORED))
            optimiser.step()
    return [_folded(head, mean, deviation) for head in heads]


def share_of_rate(step: int, steps: int) -> float:
    """Return a step's share of the highest learning rate: it rises on a line, and falls to 0."""
    warmup = max(1.0, WARMUP * steps)
    return min(1.0, (step + 1) / warmup) * (1 - step / steps)


def _backward(head: Head, tokens: Tensor, truth: Tensor) -> None:
    """Add the gradient of the mean cross-entropy of a batch's pixels, some images at a time."""
    counted = (truth != _IGNORED).sum().clamp(min=1)
    height, width = truth.shape[1:]
    images = max(1, _AT_ONCE // (len(head.bias) * height * width))
    for some, its in zip(torch.split(tokens, images), torch.split(truth, images), strict=True):
        logits = functional.interpolate(
            head.logits(some), size=(height, width), mode="bilinear", align_corners=False
        )
        loss = functional.cross_entropy(logits, its, ignore_index=_IGNORED, reduction="sum")
        (loss / counted).backward()  # type: ignore[no-untyped-call]


def _folded(head: Head, mean: Tensor, deviation: Tensor) -> Head:
    """Return the head of tokens as they are, given that of standardised ones."""
    weight = head.weight.detach() / deviation
    folded = Head(weight, head.bias.detach() - weight @ mean)
    if not (folded.weight.isfinite().all() and folded.bias.isfinite().all()):
        raise BenchError(
            "a segmentation head is not finite", "leave out its greatest learning rates"
        )
    return folded


def _moments(tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation of each dimension, float32 ``[width]``."""
    width = tokens.shape[3]
    total, squares, count = np.zeros(width), np.zeros(width), tokens[..., 0].size
    # Squares of distances to the first token: of those to zero, little would be left to subtract.
    origin = tokens[0, 0, 0].astype(np.float64)
    for start in range(0, len(tokens), _ROWS):
        some = tokens[start : start + _ROWS].reshape(-1, width).astype(np.float64) - origin
        total += some.sum(axis=0)
        squares += (some**2).sum(axis=0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # A dimension that is the same everywhere says nothing; it must not be divided by zero.
    deviation[deviation == 0] = 1
    return torch.from_numpy(mean + origin).float(), torch.from_numpy(deviation).float()


def _batches(n: int, recipe: Recipe) -> Iterator[LabelArray]:
    """Yield the rows of each step's images: pass after pass in random order, all batches full."""
    generator, size = np.random.default_rng(recipe.seed), min(recipe.batch_size, n)
    left = np.empty(0, np.int64)
    for _ in range(recipe.steps):
        if len(left) < size:
            left = np.concatenate([left, generator.permutation(n)])
        rows, left = left[:size], left[size:]
        yield rows
