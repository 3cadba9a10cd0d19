"""A linear classifier trained as the authors' is (Geng 2024, code, linear_probe.py:9-66)."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.core.schedules import warmup_cosine
from eval.probe.logistic import Linear

EPOCHS = 200
LEARNING_RATE = 1e-2
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1
BATCH_SIZE = 256
WARMUP_STEPS = 200
CLIP_NORM = 1.0
"""All seven are from the authors' linear_probe.py. By mistake, their schedule counts its steps with
another batch size. Here it ends with the training."""


def fresh(classes: int, dim: int, seed: int) -> Linear:
    """Return a classifier with the initial weights of `torch.nn.Linear` and no bias."""
    generator = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(dim)
    weight = (2 * torch.rand(classes, dim, generator=generator) - 1) * bound
    return Linear(weight, torch.zeros(classes))


def epochs(
    start: Linear,
    features: Tensor,
    labels: Tensor,
    *,
    seed: int,
    count: int = EPOCHS,
    weight_decay: float = WEIGHT_DECAY,
) -> Iterator[Linear]:
    """Yield the classifier after each epoch.

    Args:
        start: Where training starts; it is not changed.
        features: float32 ``[n, dim]``.
        labels: int64 ``[n]``.
        seed: Fixes the order of images.
        count: Epochs; the learning rate ends at zero.
        weight_decay: AdamW's, of weights and bias alike.
    """
    weight = nn.Parameter(start.weight.to(features.device, copy=True))
    bias = nn.Parameter(start.bias.to(features.device, copy=True))
    optimiser = torch.optim.AdamW(
        [weight, bias], lr=LEARNING_RATE, betas=BETAS, weight_decay=weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(features) // BATCH_SIZE) * count
    step = 0
    for _ in range(count):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for rows in torch.split(order, BATCH_SIZE):
            optimiser.param_groups[0]["lr"] = learning_rate(step, steps)
            loss = functional.cross_entropy(
                functional.linear(features[rows], weight, bias), labels[rows]
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([weight, bias], CLIP_NORM)
            optimiser.step()
            step += 1
        yield Linear(weight.detach().clone(), bias.detach().clone())


def learning_rate(step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine to zero."""
    return warmup_cosine(LEARNING_RATE, step, WARMUP_STEPS, steps)
