"""The trainings' parts that a user of the weights relies on."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

import bench.miniworld
from bench.miniworld.pool import split_arrays
from bench.miniworld.render import CLASSES
from bench.miniworld.training.appearance import fine_detail
from bench.miniworld.training.clip import CONDITIONER
from bench.miniworld.training.decoder import DISCRIMINATOR_STEPS, DecoderStep, Perception
from bench.miniworld.training.diffusion import new_scheduler
from bench.miniworld.training.fidelity import generate
from bench.miniworld.training.oracle import _softened
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import read_curve, run
from bench.miniworld.training.unet import training_times
from bench.miniworld.training.vae import VaeStep, as_signed, save_latents
from bench.runtime.float32 import float32_products

WEIGHTS = Path(bench.miniworld.__file__).parent / "weights"


def test_training_times_are_all_over_the_schedule_and_mostly_in_its_middle() -> None:
    times = training_times(20_000, torch.Generator().manual_seed(0))
    assert times.dtype == torch.int64
    assert 0 <= int(times.min()) < 20
    assert 950 < int(times.max()) <= 999
    middle = ((times >= 200) & (times < 700)).float().mean()
    assert middle > 0.6
    assert torch.equal(times, training_times(20_000, torch.Generator().manual_seed(0)))


def test_softened_images_keep_their_mean_and_lose_detail() -> None:
    noise = torch.Generator().manual_seed(1)
    images = torch.rand(64, 3, 32, 32, generator=noise).mul(2).sub(1)
    soft = _softened(images, torch.Generator().manual_seed(2))
    assert soft.shape == images.shape
    assert torch.allclose(soft.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.02)
    detail = [(one[..., 1:] - one[..., :-1]).abs().mean((1, 2, 3)) for one in (images, soft)]
    # A share sampled per image: some lose nearly nothing, others nearly all.
    kept = detail[1] / detail[0]
    assert kept.min() < 0.45
    assert kept.max() > 0.9


def test_of_a_learning_curves_lines_for_one_step_the_last_holds(tmp_path: Path) -> None:
    names, rows = ("model", "step", "loss"), [("a", 1, 3), ("b", 1, 9), ("a", 2, 2), ("a", 1, 1)]
    file = tmp_path / "curve.jsonl"
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    file.write_text("".join(line + "\n" for line in lines))
    read = [tuple(line[name] for name in names) for line in read_curve(file)]
    assert read == [("a", 1, 1), ("b", 1, 9), ("a", 2, 2)]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder as it is before the decoder's training: shipped parts, and a few images."""
    folder = tmp_path_factory.mktemp("work")
    weights = WEIGHTS / "stable-diffusion"
    vae = AutoencoderKL.from_pretrained(weights / "vae", torch_dtype=torch.float32)
    vae.save_pretrained(folder / "vae")
    # The generator's own CLIP does not ship; another of the same kind stands in for it.
    shutil.copytree(WEIGHTS / "clip", folder / CONDITIONER.name)
    images = np.concatenate([split_arrays(domain, "test")[0][:180] for domain in CLASSES])
    np.save(folder / "pairs.npy", images)
    step = VaeStep(folder, Recipe())
    step.vae = vae
    save_latents(step, folder / "vae")
    return folder


def test_a_decoders_training_moves_the_decoder_alone_and_leaves_its_judge_alone(work: Path) -> None:
    step = DecoderStep(work, dataclasses.replace(Recipe(), decoder_steps=1_000, decoder_batch=8))
    before = {name: value.clone() for name, value in step.vae.state_dict().items()}
    judge = {name: value.clone() for name, value in step.perception.state_dict().items()}
    for number in (DISCRIMINATOR_STEPS - 1, DISCRIMINATOR_STEPS):
        assert torch.isfinite(step(number))
    after = step.vae.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(before[name], value)}
    assert {name.split(".")[0] for name in moved} == {"decoder", "post_quant_conv"}
    left_alone = step.perception.state_dict().items()
    assert all(torch.equal(judge[name], value) for name, value in left_alone)


def test_what_is_in_float32_is_not_rounded_to_tf32(work: Path) -> None:
    """cuDNN convolves in TF32 by default."""
    seen = []

    def look(*_: object) -> None:
        seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))

    def pipeline(*_: object, **__: object) -> SimpleNamespace:
        look()
        return SimpleNamespace(images=torch.zeros(1, 3, 32, 32))

    pipeline.scheduler = new_scheduler()  # type: ignore[attr-defined]
    step = DecoderStep(work, dataclasses.replace(Recipe(), decoder_batch=2))
    step.perception.register_forward_pre_hook(look)
    with float32_products(tf32=True):
        step(0)
        generate(pipeline, ["a car"], seed=0)
        assert torch.backends.cudnn.allow_tf32
    assert seen == [("highest", False)] * 2


def test_a_killed_decoders_training_ends_as_an_undisturbed_one(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.miniworld.training.decoder.DISCRIMINATOR_STEPS", 1)
    recipe = dataclasses.replace(Recipe(), decoder_steps=4, decoder_batch=2)

    def trained(name: str, *stops: int) -> Any:
        folder = tmp_path / name
        shutil.copytree(work, folder)
        steps = [DecoderStep(folder, recipe) for _ in stops]
        for step, stop in zip(steps, stops, strict=True):
            run(dataclasses.replace(step.training(), steps=stop), folder)
        judge = steps[-1].discriminator.state_dict()
        return steps[-1].vae.state_dict() | {f"judge.{name}": judge[name] for name in judge}

    undisturbed, killed = trained("whole", 4), trained("killed", 2, 4)
    assert all(torch.equal(undisturbed[name], killed[name]) for name in undisturbed)


def test_likeness_is_zero_of_an_image_to_itself_and_grows_with_blur(work: Path) -> None:
    perception = Perception(work / CONDITIONER.name)
    images = as_signed(torch.from_numpy(np.load(work / "pairs.npy"))[:8]).permute(0, 3, 1, 2)
    soft = [
        functional.interpolate(functional.avg_pool2d(images, size), (32, 32)) for size in (2, 4)
    ]
    distances = [float(perception(one, images)) for one in (images, *soft)]
    assert distances[0] == pytest.approx(0, abs=1e-5)
    assert 0.01 < distances[1] < distances[2]


def test_fine_detail_is_the_power_above_a_quarter_of_a_cycle_per_pixel() -> None:
    across = torch.arange(32)
    waves = [torch.cos(2 * torch.pi * cycles * across / 32) for cycles in (4, 7, 8, 15)]
    images = [wave.expand(1, 1, 32, 32) for wave in waves]
    # Of a cosine, half of the squared amplitude, over the places of the spectrum that are fine.
    fine = sum(math.hypot(a, b) >= 0.25 for a in np.fft.fftfreq(32) for b in np.fft.fftfreq(32))
    expected = 32 * 32 / 2 / fine
    assert [fine_detail(one) for one in images] == pytest.approx(
        [0, 0, expected, expected], abs=1e-3
    )
