"""Training in one process, as on a GPU; and what is refused where there is none."""

import dataclasses
import hashlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from bench.miniworld.composition import SPLITS
from bench.miniworld.pool import split_arrays
from bench.miniworld.render import CLASSES
from bench.miniworld.training.oracle import labelled
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import log
from bench.miniworld.training.train import train
from bench.miniworld.training.vae import new_vae, save_vae
from tests.conftest import ROOT

NETWORKS = ("conditioner", "oracle", "clip", "vae", "unet", "decoder")
COMMANDS = {
    "train": ("bench.cli", "miniworld", "train", "--work", "{}/work", "--out", "{}/out"),
    "module": ("bench.miniworld.training.train", "--work", "{}/work", "--out", "{}/out"),
    "check": ("bench.cli", "miniworld", "check", "--out", "{}/out"),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_gpu_that_is_not_there_is_refused_before_any_work(command: str, tmp_path: Path) -> None:
    words = [word.format(tmp_path) for word in COMMANDS[command]]
    ended = subprocess.run(
        [sys.executable, "-m", *words, "--device", "cuda"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == "bench: error: PyTorch finds no CUDA GPU here; use --device cpu\n"
    assert not list(tmp_path.iterdir())


def test_a_gpus_recipe_has_ten_times_the_samples_where_more_help() -> None:
    cpu, cuda = dataclasses.asdict(Recipe()), dataclasses.asdict(Recipe.for_cuda())

    def samples(recipe: dict[str, float], network: str) -> float:
        shared = recipe["processes"] if network == "unet" else 1
        batch = "clip" if network == "conditioner" else network
        return recipe[f"{network}_steps"] * recipe[f"{batch}_batch"] * shared

    more = {network: samples(cuda, network) / samples(cpu, network) for network in NETWORKS}
    assert more == dict.fromkeys(NETWORKS, 10) | {"clip": 1, "conditioner": 1}
    assert cuda["pool_size"] == cpu["pool_size"]
    first = SPLITS["oracle"][1]
    assert first + cuda["oracle_images"] <= SPLITS["clean"][1]


def test_two_processes_render_what_one_does() -> None:
    alone, shared = (labelled("oracle", count=9, processes=processes) for processes in (1, 2))
    assert all(torch.equal(left, right) for left, right in zip(alone, shared, strict=True))
    images, labels = split_arrays("cars", "val")
    everything, everywhere = labelled("val")
    places = slice(len(images), 2 * len(images))
    assert list(CLASSES).index("cars") == 1
    assert np.array_equal(everything[places].numpy(), images)
    assert np.array_equal(everywhere[places].numpy() - len(CLASSES["aircraft"]), labels)


def test_a_written_autoencoder_keeps_its_scale_and_weights(tmp_path: Path) -> None:
    vae = new_vae()
    vae.register_to_config(scaling_factor=0.7)
    save_vae(vae, tmp_path)
    read = AutoencoderKL.from_pretrained(tmp_path)
    assert read.config.scaling_factor == 0.7
    pairs = zip(vae.state_dict().values(), read.state_dict().values(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


class Interrupting(logging.Handler):
    """Interrupts each network's training once, before its last checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.left = [f"{network}-training" for network in NETWORKS]

    def emit(self, record: logging.LogRecord) -> None:
        for name in self.left:
            if f'"model": "{name}"' in record.getMessage():
                self.left.remove(name)
                raise KeyboardInterrupt


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A GPU's recipe with the fewest samples; and as few images to be judged by."""
    for split in ("oracle", "val", "test"):
        monkeypatch.setitem(SPLITS, split, (2, SPLITS[split][1]))
    for name in ("fidelity.IMAGES_PER_CLASS", "fidelity.WRONG_IMAGES_PER_CLASS"):
        monkeypatch.setattr(f"bench.miniworld.training.{name}", 1)
    monkeypatch.setattr("bench.miniworld.training.unet.IMAGES_PER_CLASS", 1)
    monkeypatch.setattr("bench.miniworld.training.resumable.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("bench.miniworld.training.decoder.DISCRIMINATOR_STEPS", 1)
    few = {f"{network}_steps": 3 for network in NETWORKS}
    batches = dict.fromkeys(("vae_batch", "decoder_batch", "unet_batch", "oracle_batch"), 4)
    changes = {"pool_size": 600, "oracle_images": 2, "clip_batch": 16, **few, **batches}
    return dataclasses.replace(Recipe.for_cuda(), **changes)


@pytest.mark.slow(minutes=1)
def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path: Path, recipe: Recipe) -> None:
    train(tmp_path / "work", tmp_path / "whole", recipe)
    interrupting = Interrupting()
    log.addHandler(interrupting)
    log.setLevel(logging.INFO)
    for _ in NETWORKS:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "again", tmp_path / "continued", recipe)
    assert not interrupting.left
    train(tmp_path / "again", tmp_path / "continued", recipe)
    log.removeHandler(interrupting)
    whole, continued = (_weights(tmp_path / name) for name in ("whole", "continued"))
    assert len(whole) > 4
    assert continued == whole
    card = json.loads((tmp_path / "continued" / "card.json").read_bytes())
    assert card["device"] == "cpu"
    assert card["recipe"] == dataclasses.asdict(recipe)


def _weights(folder: Path) -> dict[str, str]:
    """Return the hash of each weights file, and of what the judge said."""
    files = [*folder.rglob("*.safetensors"), folder / "fidelity.json"]
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
