"""iBOT's loss of masked tokens."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from adapt.losses.ibot import ibot_loss
from tests.support import loss_formulas

EXACT: dict[str, Any] = {"atol": 1e-12, "rtol": 1e-12}
IMAGE = [40, 7, 40, 40, 7, 12]


def tokens(count: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=generator, dtype=torch.float64).requires_grad_()


def targets(count: int = 6) -> Tensor:
    return tokens(count, 1).detach().softmax(1)


def test_it_is_the_formula_to_rounding_and_so_is_its_gradient() -> None:
    student = tokens()
    ours = ibot_loss(student, targets(), torch.tensor(IMAGE))
    plain = loss_formulas.ibot(student, targets(), IMAGE)
    torch.testing.assert_close(ours, plain, **EXACT)
    (our,), (their,) = (torch.autograd.grad(loss, student) for loss in (ours, plain))
    torch.testing.assert_close(our, their, **EXACT)


def test_images_weigh_alike_however_many_of_their_tokens_are_masked() -> None:
    student, aims, image = tokens(), targets(), torch.tensor(IMAGE)
    apart = [ibot_loss(student[image == one], aims[image == one], image[image == one])
             for one in (7, 12, 40)]  # fmt: skip
    torch.testing.assert_close(ibot_loss(student, aims, image), sum(apart, 0 * apart[0]) / 3)


def test_a_student_that_agrees_pays_the_entropy_of_the_targets_alone() -> None:
    aims, image = targets(), torch.zeros(6, dtype=torch.int64)
    entropy = -(aims * aims.log()).sum(1).mean()
    torch.testing.assert_close(ibot_loss(aims.log(), aims, image), entropy, **EXACT)
    certain = functional.one_hot(torch.arange(6) % 4, 4).double()
    assert ibot_loss(1000 * certain, certain, image) == 0


def test_without_masked_images_it_is_zero_with_a_gradient_of_zero() -> None:
    encoded = tokens()
    loss = ibot_loss(encoded[:0], targets()[:0], torch.tensor(IMAGE)[:0])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss == 0
    assert encoded.grad is not None
    assert encoded.grad.count_nonzero() == 0


def test_teachers_get_no_gradient() -> None:
    aims = targets().requires_grad_()
    ibot_loss(tokens(), aims, torch.tensor(IMAGE)).backward()  # type: ignore[no-untyped-call]
    assert aims.grad is None


def test_gradients_are_those_of_finite_differences() -> None:
    image = torch.tensor(IMAGE)
    assert torch.autograd.gradcheck(lambda student: ibot_loss(student, targets(), image), tokens())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    student = (20 * tokens().detach()).to(dtype)
    loss = ibot_loss(student, targets().float(), torch.tensor(IMAGE))
    assert loss.dtype == torch.float32
    assert loss == ibot_loss(student.float(), targets().float(), torch.tensor(IMAGE))
    assert math.isfinite(loss.item())
