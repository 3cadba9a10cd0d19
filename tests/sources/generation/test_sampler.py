"""A pipeline at work: what half precision cannot hold, large images, a compiled denoiser."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sources.generation.sampler import DECODED_PIXELS, Item
from tests.support.tiny_generation import World, sampler
from tests.support.tiny_pipelines import change_weights, write_pipeline


@pytest.fixture
def overflowing(tmp_path: Path) -> str:
    """A pipeline whose decoder goes beyond 65,504, the largest number of half precision."""
    folder = write_pipeline("sd", tmp_path / "overflowing")
    name = "decoder.conv_in.weight"
    change_weights(folder / "vae", lambda old: old | {name: old[name] * 1e5})
    return str(folder)


def test_what_half_precision_cannot_decode_is_decoded_in_full(
    world: World, overflowing: str
) -> None:
    half, full = (sampler(world, generator=overflowing, dtype=kind) for kind in ("fp16", "fp32"))
    items = [Item("a C-130", seed) for seed in range(3)]
    latents = half.denoise(items)
    beyond = half.pipeline.vae.decode(latents[0] / half.pipeline.vae.config.scaling_factor).sample
    assert not torch.isfinite(beyond).all()
    frames = half.finish(latents)
    expected = full.finish([part.float() for part in latents])
    assert np.isfinite(frames).all()
    assert np.abs(np.stack(frames) - expected).max() < 1 / 255


def test_latents_that_are_no_numbers_are_not_decoded_again(world: World, overflowing: str) -> None:
    able = sampler(world, generator=overflowing, dtype="fp16")
    latents = able.denoise([Item("a C-130", seed) for seed in range(2)])[0].clone()
    latents[0, 0, 0, 0] = float("nan")
    first, second = able.finish([latents])
    assert not np.isfinite(first).all()
    assert np.isfinite(second).all()


def test_no_more_is_decoded_at_once_than_there_is_memory_for(world: World) -> None:
    able = sampler(world, height=32, batch_size=2000)
    latents = torch.randn(1100, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    sizes: list[int] = []
    decoder = able.pipeline.vae.decoder
    decoder.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    together = able.finish([latents])
    assert sizes == [1024, 76]
    assert max(sizes) * 32**2 == DECODED_PIXELS
    alone = able.finish([latents[1099:]])[0]
    assert np.abs(together[1099] - alone).max() < 1 / 255


@pytest.mark.slow(minutes=2)
def test_a_compiled_denoiser_is_compiled_once(world: World) -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    items = [Item("a C-130", seed) for seed in range(7)]
    plain, compiled = sampler(world), sampler(world, compile=True)
    assert len(compiled.finish(compiled.denoise(items[:3]))) == 3
    # Batches of four: the last one has three.
    found, expected = (able.finish(able.denoise(items)) for able in (compiled, plain))
    assert len(found) == 7
    assert counters["stats"]["unique_graphs"] == 1
    assert np.abs(np.stack(found) - expected).max() <= 1 / 255
