"""What this card can do at best: copying, and products of matrices."""

from collections.abc import Iterator
from functools import partial

import torch

from tests.gpu.measure import Figure, Machine, Result


def run(machine: Machine) -> Iterator[Result]:
    """Measure a copy within the device, and square products of bf16, tf32 and float32."""
    turns = 3 if machine.tiny else 20
    numbers = 2**16 if machine.tiny else 2**30
    source = torch.randn(numbers, device=machine.device)
    target = torch.empty_like(source)
    moved = 2 * source.nbytes / 1e9
    (copies,) = machine.rates(moved, lambda: target.copy_(source), turns=turns)
    yield Figure("copy within the device, read and written", "GB/s", copies)
    side = 128 if machine.tiny else 8192
    for name, dtype, precision in (
        ("bf16", torch.bfloat16, "highest"),
        ("tf32", torch.float32, "high"),
        ("fp32", torch.float32, "highest"),
    ):
        left, right = torch.randn(2, side, side, device=machine.device).to(dtype)
        torch.set_float32_matmul_precision(precision)
        (products,) = machine.rates(2 * side**3 / 1e12, partial(torch.mm, left, right), turns=turns)
        yield Figure(f"product of {side} x {side} matrices, {name}", "TFLOP/s", products)
    torch.set_float32_matmul_precision("highest")
