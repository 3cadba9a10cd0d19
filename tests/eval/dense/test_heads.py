"""Linear heads on patch tokens: their gradient, their schedule, and that they learn."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from eval.dense import heads
from eval.dense.heads import Head, Recipe, fit_heads, share_of_rate

CENTRES = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])


def scenes(n: int, seed: int) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Return tokens of 4 by 4 patches about three centres, and masks of 8 by 8 pixels."""
    generator = np.random.default_rng(seed)
    classes = np.repeat(generator.integers(0, 3, (n, 1, 2)), 4, axis=1).repeat(2, axis=2)
    tokens = CENTRES[classes] + generator.normal(size=(n, 4, 4, 3)) + 100
    masks = classes.repeat(2, axis=1).repeat(2, axis=2) + 1
    return tokens.astype(np.float16), masks.astype(np.uint8)


def fitted(
    tokens: NDArray[np.float16], masks: NDArray[np.uint8], *rates: float, steps: int = 60
) -> list[Head]:
    return fit_heads(tokens, masks, 3, Recipe(rates, steps, 4, 0), "cpu")


def test_heads_learn_what_patches_show_and_rates_do_not_touch_each_other() -> None:
    tokens, masks = scenes(16, 1)
    low, high = fitted(tokens, masks, 1e-6, 0.1)
    (alone,) = fitted(tokens, masks, 0.1)
    torch.testing.assert_close(alone.weight, high.weight)
    others, truth = scenes(8, 2)
    patches = torch.from_numpy(truth[:, ::2, ::2].astype(np.int64) - 1)
    right = [
        float(
            (head.logits(torch.from_numpy(others).float()).argmax(dim=1) == patches).float().mean()
        )
        for head in (low, high)
    ]
    assert right[1] > 0.98 > right[0]


def test_a_step_is_adamw_on_the_mean_over_the_pixels_that_count() -> None:
    """One step from the initial weights, written out; the last image does not count at all."""
    tokens, masks = scenes(4, 3)
    masks[3], masks[0, :3] = 0, 0
    (head,) = fit_heads(tokens, masks, 3, Recipe([0.01], 1, 4, 5), "cpu")
    wide = torch.from_numpy(tokens).double()
    mean, deviation = wide.mean(dim=(0, 1, 2)), wide.std(dim=(0, 1, 2), correction=0)
    start = torch.randn(3, 3, generator=torch.Generator().manual_seed(5))
    weight = (0.01 * start).double().requires_grad_()
    bias = torch.zeros(3, dtype=torch.double, requires_grad=True)
    patches = ((wide - mean) / deviation) @ weight.T + bias
    pixels = functional.interpolate(patches.permute(0, 3, 1, 2), size=(8, 8), mode="bilinear")
    counted = torch.from_numpy(masks) > 0
    truth = torch.from_numpy(masks.astype(np.int64))[counted] - 1
    logits = pixels.permute(0, 2, 3, 1)[counted]
    loss = (logits.logsumexp(dim=1) - logits.gather(1, truth[:, None])[:, 0]).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert bias.grad is not None
    # AdamW's first step is the learning rate times the gradient's sign.
    moved = weight.detach() * (1 - 0.01 * 1e-4) - 0.01 * weight.grad.sign()
    torch.testing.assert_close(head.weight.double(), moved / deviation, rtol=1e-4, atol=1e-6)
    shift = (-0.01 * bias.grad.sign()) - (moved / deviation) @ mean
    torch.testing.assert_close(head.bias.double(), shift, rtol=1e-4, atol=1e-4)


def test_a_loss_in_parts_is_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, masks = scenes(4, 4)
    (whole,) = fitted(tokens, masks, 0.05, steps=5)
    monkeypatch.setattr(heads, "_AT_ONCE", 1)
    (parts,) = fitted(tokens, masks, 0.05, steps=5)
    torch.testing.assert_close(whole.weight, parts.weight)


def test_a_dimension_without_variance_and_fewer_images_than_a_batch_are_no_fault() -> None:
    tokens, masks = scenes(2, 6)
    tokens[..., 0] = 7
    (head,) = fitted(tokens, masks, 0.1, steps=3)
    assert head.weight.isfinite().all()


def test_the_rate_rises_for_1500_of_40000_steps_and_falls_to_nothing() -> None:
    shares = [share_of_rate(step, 40_000) for step in range(40_000)]
    assert np.argmax(shares) == 1499
    assert shares[0] == pytest.approx(1 / 1500)
    assert shares[20_000] == pytest.approx(0.5)
    assert 0 < shares[-1] < 1e-4
