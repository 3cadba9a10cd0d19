"""Soft assignments that use all prototypes alike."""

import pytest
import torch
from torch import Tensor

from adapt.losses.sinkhorn import sinkhorn


def logits(rows: int = 64, prototypes: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return cosines, about."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, prototypes, generator=generator, dtype=dtype) / 4


def plain(values: Tensor, temperature: float, iterations: int) -> Tensor:
    """Return the assignments by dividing exponentials."""
    masses = (values / temperature).softmax(1)
    for _ in range(iterations):
        masses = masses / masses.sum(0)
        masses = masses / masses.sum(1, keepdim=True)
    return masses


@pytest.mark.parametrize("iterations", [1, 3, 5])
def test_it_is_what_dividing_exponentials_gives(iterations: int) -> None:
    ours = sinkhorn(logits(), temperature=0.07, iterations=iterations)
    torch.testing.assert_close(ours, plain(logits(), 0.07, iterations), atol=1e-12, rtol=1e-10)


def test_rows_sum_to_one_and_prototypes_get_ever_more_alike() -> None:
    furthest = []
    for more in ({"iterations": 1}, {}, {"iterations": 30}):  # By default three.
        assigned = sinkhorn(logits(), temperature=0.25, **more)
        torch.testing.assert_close(assigned.sum(1), torch.ones(64, dtype=torch.float64))
        furthest.append((assigned.sum(0) - 64 / 16).abs().max().item())
    assert furthest[0] > furthest[1] > furthest[2]
    assert furthest[1] < 0.02
    assert furthest[2] < 1e-9


def test_a_constant_added_to_a_sample_changes_nothing() -> None:
    shifts = torch.linspace(-3, 3, 64, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        sinkhorn(logits() + shifts, temperature=0.04), sinkhorn(logits(), temperature=0.04)
    )


def test_large_logits_over_a_small_temperature_are_finite() -> None:
    signs = logits().sign().float()
    assigned = sinkhorn(20 * signs, temperature=0.04)
    assert assigned.isfinite().all()
    torch.testing.assert_close(assigned.sum(1), torch.ones(64))


def test_half_precision_is_computed_in_float32_without_gradient() -> None:
    half = logits(dtype=torch.bfloat16).requires_grad_()
    assigned = sinkhorn(half, temperature=0.04)
    assert assigned.dtype == torch.float32
    assert not assigned.requires_grad
    assert torch.equal(assigned, sinkhorn(half.detach().float(), temperature=0.04))


def test_what_is_given_is_kept_and_no_sample_is_no_error() -> None:
    given = logits()
    sinkhorn(given, temperature=1.0)
    assert torch.equal(given, logits())
    assert sinkhorn(given[:0], temperature=1.0).shape == (0, 16)
