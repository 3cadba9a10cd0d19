"""Untrained networks: new weights of the same architecture, decided by the seed alone."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adapt.data import TrainingImages
from adapt.models import Classifier, Clip, load_model
from adapt.scratch import untrained
from bench.core.errors import RequestError
from bench.core.specs import TrainSpec
from tests.conftest import ROOT, environment
from tests.support.image_encoders import write_encoder
from tests.support.tiny_clip import COLOURS, SIGLIP, colour_task, square, write_tiny_clip
from tests.support.tiny_training import (
    EndedError,
    WatchedLoss,
    assert_same,
    losses,
    save_always,
    train,
    world,
)

Write = Callable[[Path], Path]

VIT = ROOT / "bench" / "miniworld" / "architectures" / "vit"

FOLDERS: dict[str, Write] = {
    "ViT": write_tiny_clip,
    "ResNet": lambda folder: write_tiny_clip(folder, batch_norm=True),
    "SigLIP": lambda folder: write_tiny_clip(folder, timm=SIGLIP, logit_bias=-10.0),
    "timm": write_encoder,
    "architecture": lambda folder: shutil.copytree(VIT, folder),
}


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return FOLDERS[request.param](tmp_path / "weights")


def digest_of(model: Any) -> str:
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode() + value.contiguous().numpy().tobytes())
    return found.hexdigest()


def images(clip: Clip) -> Tensor:
    pictures = [square(label, label) for label in range(len(COLOURS))]
    return torch.stack([clip.preprocess_val(picture) for picture in pictures])


def test_weights_are_new_and_the_architecture_and_preprocessing_are_the_folders(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = load_model(folder)
    new = untrained(clip, folder, seed=0)
    trained, fresh = clip.model.state_dict(), new.model.state_dict()
    assert {name: value.shape for name, value in fresh.items()} == {
        name: value.shape for name, value in trained.items()
    }
    # Norms and biases may begin alike; no matrix may, in the text tower neither.
    matrices = [name for name, value in fresh.items() if value.ndim > 1]
    assert any("text" in name or "transformer" in name for name in matrices) or not new.tokenizer
    for name in matrices:
        assert not torch.equal(fresh[name], trained[name]) or fresh[name].unique().numel() == 1
    assert torch.equal(images(clip), images(new))
    assert (new.trained, new.model_hash) == (False, "")
    assert capfd.readouterr().err == ""


def test_the_seed_alone_decides_the_weights(folder: Path) -> None:
    clip = load_model(folder)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = digest_of(untrained(clip, folder, seed=1).model)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert digest_of(untrained(clip, folder, seed=1).model) == first
    assert digest_of(untrained(clip, folder, seed=2).model) != first


def test_another_process_comes_to_the_same_weights(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "weights", batch_norm=True)
    code = (
        "import sys, pathlib\n"
        "from adapt.models import load_model\n"
        "from adapt.scratch import untrained\n"
        "from tests.adapt.test_scratch import digest_of\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "print(digest_of(untrained(load_model(folder), folder, 3).model))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=environment(tmp_path / "home", OMP_NUM_THREADS="2"),
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == digest_of(untrained(load_model(folder), folder, 3).model)


def test_batch_statistics_are_trained_from_scratch(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path, batch_norm=True)
    clip = load_model(folder)
    new = untrained(clip, folder, seed=0)
    classifier = Classifier.from_clip(new, colour_task(), "random").train()
    before = classifier.state()
    classifier(images(new))
    after = classifier.state()
    means = [name for name in before if name.endswith("running_mean")]
    assert means
    assert not any(torch.equal(before[name], after[name]) for name in means)


def test_a_training_from_scratch_that_is_killed_continues_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch statistics too, which nothing but the checkpoint has."""
    save_always(monkeypatch, check_steps=2)

    def begun(place: str) -> tuple[Classifier, TrainingImages, Path]:
        _, images = world(tmp_path / place, batch_norm=True)
        folder = tmp_path / place / "clip"
        new = untrained(load_model(folder), folder, seed=0)
        return Classifier.from_clip(new, colour_task(), "random"), images, tmp_path / place / "run"

    def latest(_: Classifier, epoch: int) -> float:
        return float(epoch)

    whole = train(*begun("whole"), scores=latest)
    with pytest.raises(EndedError):
        train(*begun("killed"), scores=latest, objective=WatchedLoss(at=6))
    continued = train(*begun("killed"), scores=latest)
    state = whole.classifier.state()
    assert any(name.endswith("running_var") for name in state)
    assert_same(state, continued.classifier.state(), 0)
    assert losses(continued) == losses(whole)


@pytest.mark.parametrize(("batch", "steps"), [(13, None), (1, 2)])
def test_batch_statistics_of_one_image_are_refused(
    tmp_path: Path, batch: int, steps: int | None
) -> None:
    _, images = world(tmp_path, batch_norm=True)
    assert len(images) == 40
    folder = tmp_path / "clip"
    new = untrained(load_model(folder), folder, seed=0)
    spec = TrainSpec(epochs=1, batch_size=batch, steps=steps)
    with pytest.raises(RequestError, match="has one image, and batch norm needs several"):
        train(Classifier.from_clip(new, colour_task(), "random"), images, tmp_path / "run", spec)


def test_it_has_a_random_head_and_nothing_of_the_models_scale(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path)
    clip = load_model(folder)
    clip.model.logit_scale.data.fill_(5.0)
    head = Classifier.from_clip(untrained(clip, folder, 0), colour_task(), "random").head
    # CLIP's scale at its beginning (Radford 2021, section 2.5).
    torch.testing.assert_close(head.weight.norm(dim=1), torch.full((3,), 1 / 0.07))


def test_an_encoder_has_no_texts_from_scratch_either(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    with pytest.raises(RequestError, match="without a text tower"):
        untrained(load_model(folder), folder, 0).tokens(["a"])
