"""CLIP's loss, with equal texts in a batch."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from adapt.losses.clip import clip_loss
from tests.support import loss_formulas

EXACT: dict[str, Any] = {"atol": 1e-12, "rtol": 1e-12}
GROUPS = [4, 0, 4, 2, 4, 0]


def embeddings(count: int, seed: int) -> Tensor:
    """Return float64 rows that require a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64).requires_grad_()


def test_different_texts_make_it_clips_loss() -> None:
    images, texts = embeddings(6, 0), embeddings(6, 1)
    logits = 7 * functional.normalize(images, dim=1) @ functional.normalize(texts, dim=1).T
    pairs = torch.arange(6)
    both = functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)
    torch.testing.assert_close(clip_loss(images, texts, pairs + 9, scale=7.0), both / 2, **EXACT)


def test_equal_texts_share_the_target_and_the_gradient_is_the_formulas() -> None:
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    leaves = embeddings(6, 0), embeddings(6, 1), scale
    ours = clip_loss(leaves[0], leaves[1], torch.tensor(GROUPS), scale=scale)
    plain = loss_formulas.clip(leaves[0], leaves[1], GROUPS, scale)
    torch.testing.assert_close(ours, plain, **EXACT)
    for our, their in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(plain, leaves), strict=True
    ):
        torch.testing.assert_close(our, their, **EXACT)


def test_n_images_of_every_text_cost_stablereps_loss_and_half_of_log_n() -> None:
    images, texts = embeddings(6, 0), embeddings(2, 1)
    captions = torch.tensor([0, 1, 0, 1, 1, 0])
    logits = 7 * functional.normalize(images, dim=1) @ functional.normalize(texts, dim=1).T
    shares = functional.one_hot(captions, 2).double().T / 3
    both = functional.cross_entropy(logits, captions) + functional.cross_entropy(logits.T, shares)
    ours = clip_loss(images, texts[captions], captions, scale=7.0)
    torch.testing.assert_close(ours, both / 2 + math.log(3) / 2, **EXACT)


def test_other_groups_are_other_targets() -> None:
    images, texts = embeddings(6, 0), embeddings(6, 1)
    for groups in ([0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2], [3, 4, 3, 4, 3, 4]):
        ours = clip_loss(images, texts, torch.tensor(groups), scale=7.0)
        plain = loss_formulas.clip(images, texts, groups, 7.0)
        torch.testing.assert_close(ours, plain, **EXACT)


def test_gradients_are_those_of_finite_differences() -> None:
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

    def loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
        return clip_loss(images, texts, torch.tensor(GROUPS), scale=scale)

    assert torch.autograd.gradcheck(loss, (embeddings(6, 0), embeddings(6, 1), scale))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    images, texts = (embeddings(6, seed).detach().to(dtype) for seed in (0, 1))
    scale = torch.tensor(100.0)
    loss = clip_loss(images, texts, torch.tensor(GROUPS), scale=scale)
    assert loss.dtype == torch.float32
    assert loss == clip_loss(images.float(), texts.float(), torch.tensor(GROUPS), scale=scale)
