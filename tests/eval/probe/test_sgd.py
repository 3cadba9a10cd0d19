"""Several classifiers trained together are those trained alone by torch, in float64."""

import math

import pytest
import torch
from torch import Tensor, nn

from eval.probe.sgd import Probes

RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5]
CLASSES, DIM, EPOCHS, BATCH, SEED = 4, 6, 3, 16, 7


def epochs(n: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return other features for each epoch, labels, and features to predict from."""
    generator = torch.Generator().manual_seed(1)

    def some(count: int) -> Tensor:
        return 1 + 3 * torch.randn(count, DIM, generator=generator, dtype=torch.float64)

    labels = torch.randint(CLASSES, (n,), generator=generator)
    return [some(n) for _ in range(EPOCHS)], labels, some(20)


def alone(rate: float, views: list[Tensor], labels: Tensor, batch_norm: bool) -> nn.Module:
    """Return a classifier that torch trains at a rate, as the protocol says it."""
    generator = torch.Generator().manual_seed(SEED)
    linear = nn.Linear(DIM, CLASSES, dtype=torch.float64)
    with torch.no_grad():
        linear.bias.zero_()
        weight = torch.randn(CLASSES, DIM, generator=generator, dtype=torch.float64)
        linear.weight.copy_(0.01 * weight)
    norm = nn.BatchNorm1d(DIM, affine=False, dtype=torch.float64) if batch_norm else nn.Identity()
    model = nn.Sequential(norm, linear).train()
    n = len(labels)
    parts = -(-n // BATCH)
    peak, steps = rate * math.ceil(n / parts) / 256, parts * EPOCHS
    optimiser = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9, weight_decay=0)
    step = 0
    for features in views:
        for rows in torch.randperm(n, generator=generator).tensor_split(parts):
            optimiser.param_groups[0]["lr"] = peak * (1 + math.cos(math.pi * step / steps)) / 2
            optimiser.zero_grad()
            if isinstance(norm, nn.BatchNorm1d):
                norm.momentum = max(0.1, 1 / (step + 1))  # The batches' mean, of the first ten.
            nn.functional.cross_entropy(model(features[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1
    return model.eval()


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("n", [50, 10])
def test_ten_at_once_are_ten_alone(n: int, batch_norm: bool) -> None:
    """Of 50 images a step takes 12 or 13; of 10, which are fewer than a batch, all."""
    views, labels, others = epochs(n)
    probes = Probes(
        views[0], CLASSES, RATES, epochs=EPOCHS, batch_size=BATCH, batch_norm=batch_norm, seed=SEED
    )
    for features in views:
        probes.epoch(features, labels)
    for which, rate in enumerate(RATES):
        model = alone(rate, views, labels, batch_norm)
        with torch.no_grad():
            expected = model(others)
        torch.testing.assert_close(probes.scores(others, which), expected, rtol=1e-10, atol=1e-12)
    differ = probes.scores(others, 0) - probes.scores(others, len(RATES) - 1)
    assert differ.abs().max() > 1e-3


@pytest.mark.parametrize("n", [10, 50])
def test_batch_norm_forgets_scale_and_place_after_however_few_steps(n: int) -> None:
    """Torch's averages would have a mean of 0 and a variance of 1 in them, which are no batch's."""
    views, labels, others = epochs(n)

    def scores(scale: float, shift: float) -> Tensor:
        probes = Probes(
            views[0], CLASSES, RATES, epochs=1, batch_size=BATCH, batch_norm=True, seed=SEED
        )
        probes.epoch(scale * views[0] + shift, labels)
        return probes.scores(scale * others + shift, 0)

    torch.testing.assert_close(scores(7, 100), scores(1, 0), rtol=1e-5, atol=1e-7)


def test_a_batch_of_one_image_is_none_too_small() -> None:
    views, labels, others = epochs(3)
    probes = Probes(
        views[0], CLASSES, RATES, epochs=EPOCHS, batch_size=1, batch_norm=True, seed=SEED
    )
    for features in views:
        probes.epoch(features, labels)
    assert probes.scores(others, 0).isfinite().all()
