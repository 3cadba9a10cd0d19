"""The contrastive loss on the device: is it right, and what does it take beside a plain one?"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from adapt.losses.multi_positive import multi_positive_loss
from bench.runtime.float32 import float32_products
from tests.gpu.measure import Check, Figure, Machine, Note, Result
from tests.support.plain_losses import plain_multi_positive

TEMPERATURE, PER_GROUP, WIDTH = 0.1, 4, 256
CHUNKS = (128, 2048)
"""The default, and larger ones: a device may want more work at a time."""

TURNS = 3

Loss = Callable[[Tensor, Tensor], Tensor]


def run(machine: Machine) -> Iterator[Result]:
    """Compare with float64, then measure time and memory of forward and backward."""
    sizes = (256, 512) if machine.tiny else (8192, 32768)
    with float32_products():
        yield from against_float64(machine, sizes[0])
        for rows in sizes:
            yield from measured(machine, rows)


def ours(features: Tensor, groups: Tensor, *, chunk: int) -> Tensor:
    """Return the harness's loss of views that are images of their own."""
    ids = torch.arange(len(features), device=features.device)
    return multi_positive_loss(features, groups, temperature=TEMPERATURE, ids=ids, chunk=chunk)[0]


def plain(features: Tensor, groups: Tensor) -> Tensor:
    """Return the same of the whole matrix at once, by torch's own gradient."""
    return plain_multi_positive(features, groups, TEMPERATURE)


def inputs(machine: Machine, rows: int) -> tuple[Tensor, Tensor]:
    """Return features, float32, and their groups; the same on any device."""
    features = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0))
    groups = torch.arange(rows, device=machine.device) // PER_GROUP
    return features.to(machine.device), groups


def step(loss: Loss, features: Tensor, groups: Tensor) -> tuple[float, Tensor]:
    """Return a loss and its gradient."""
    leaf = features.detach().requires_grad_()
    value = loss(leaf, groups)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.item(), gradient


def against_float64(machine: Machine, rows: int) -> Iterator[Result]:
    """Compare loss and gradient with a plain float64 computation."""
    features, groups = inputs(machine, rows)
    expected, exact = step(plain, features.double(), groups)
    for chunk in CHUNKS:
        loss, gradient = step(partial(ours, chunk=chunk), features, groups)
        name = f"{rows:,} x {WIDTH}, {chunk} rows at a time"
        yield Check(f"loss of {name}, relative", abs(loss / expected - 1), 1e-5)
        error = ((gradient - exact).norm() / exact.norm()).item()
        yield Check(f"gradient of {name}, relative", error, 1e-4)


def measured(machine: Machine, rows: int) -> Iterator[Result]:
    """Measure steps by turns with plain ones, and what each needs beyond its inputs."""
    features, groups = inputs(machine, rows)
    losses: dict[str, Loss] = {"plain": plain}
    losses |= {f"{chunk} rows at a time": partial(ours, chunk=chunk) for chunk in CHUNKS}
    works = [partial(step, loss, features, groups) for loss in losses.values()]
    rates = machine.rates(1, *works, turns=TURNS)
    logits = rows**2 * torch.float32.itemsize
    for name, values, work in zip(losses, rates, works, strict=True):
        floor = () if name == "plain" else rates[0]
        yield Figure(f"{rows:,} x {WIDTH}, {name}", "steps/s", values, floor, "plain")
        if machine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(machine.device)
            before = torch.cuda.memory_allocated(machine.device)
            work()
            extra = torch.cuda.max_memory_allocated(machine.device) - before
            yield Figure(f"{rows:,} x {WIDTH}, {name}: memory", "of the logits", [extra / logits])
    if machine.device.type != "cuda":
        yield Note("memory is measured with CUDA alone")
