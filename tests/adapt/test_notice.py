"""Fine-tuning that has notice of its end: it saves where it is, leaves, and is continued."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor

from adapt.checkpoint import Checkpoint
from adapt.models import Classifier
from adapt.objectives.ce import CrossEntropy
from tests.support.tiny_training import SPEC, adapt, assert_same, rising, save_always

torch.set_num_threads(1)

STEPS = 20
"""Of each epoch; fewer than there are between two looks at the losses."""

FEW = msgspec.structs.replace(SPEC, batch_size=2)


class LeftError(Exception):
    """What a job ends in when it has notice and requeued itself."""


@pytest.fixture(autouse=True)
def _job() -> Iterator[None]:
    """Leave at SIGUSR2, as a Slurm job does."""

    def leave(*_: object) -> None:
        raise LeftError

    before = signal.signal(signal.SIGUSR2, leave)
    yield
    signal.signal(signal.SIGUSR2, before)


def tell() -> None:
    os.kill(os.getpid(), signal.SIGUSR2)


class Telling(CrossEntropy):
    """Cross-entropy during which the notice comes, at some call."""

    def __init__(self, call: int) -> None:
        self.call = call
        self.calls = 0

    def loss(self, model: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.call:
            tell()
        return super().loss(model, images, labels)


def place(folder: Path) -> tuple[int, int]:
    """Return the epoch that the one checkpoint continues in, and the step in it."""
    (_,) = (folder / "run").iterdir()
    found = Checkpoint.load(folder / "run")
    assert found is not None
    return len(found.history), found.progress.step


@pytest.mark.parametrize("step", [1, 7, STEPS])
def test_training_leaves_at_the_step_in_which_it_is_told_and_continues_bit_for_bit(
    tmp_path: Path, step: int
) -> None:
    undisturbed = adapt(tmp_path, FEW, run="undisturbed", patch_dropout=0.5)
    validate = rising()
    telling = Telling(STEPS + step)
    with pytest.raises(LeftError):
        adapt(tmp_path, FEW, validate, telling, patch_dropout=0.5)
    assert telling.calls == STEPS + step
    assert validate(None, 0) == 2.0  # type: ignore[arg-type]  # Epochs 0 and 1 were judged.
    assert place(tmp_path) == (2, step)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    continued = Telling(0)
    resumed = adapt(tmp_path, FEW, lambda *_: 9.0, continued, patch_dropout=0.5)
    assert continued.calls == 2 * STEPS - step
    assert [epoch.loss for epoch in resumed.history] == [
        epoch.loss for epoch in undisturbed.history
    ]
    last = Checkpoint.load(tmp_path / "run")
    assert last is not None
    assert_same(last.last, undisturbed.classifier.state(), 0)


def test_notice_that_comes_while_a_checkpoint_is_written_is_heeded_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_always(monkeypatch, check_steps=5)
    sync = os.fsync

    def tell_while_syncing(descriptor: int) -> None:
        if list((tmp_path / "run").glob(".epoch-00001-00000005-*")):
            tell()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", tell_while_syncing)
    telling = Telling(0)
    with pytest.raises(LeftError):
        adapt(tmp_path, FEW, objective=telling)
    assert telling.calls == STEPS + 5
    assert place(tmp_path) == (2, 5)


def test_notice_that_comes_while_an_epoch_is_judged_leaves_it_judged(tmp_path: Path) -> None:
    def validate(_: Classifier, epoch: int) -> float:
        if epoch == 1:
            tell()
        return float(epoch)

    with pytest.raises(LeftError):
        adapt(tmp_path, FEW, validate)
    assert place(tmp_path) == (2, 0)
