"""Fine-tuning that has notice of its end: it saves where it is, leaves, and is continued."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch

from adapt.models import Classifier
from tests.support.tiny_training import (
    SPEC,
    WatchedLoss,
    adapt,
    assert_same,
    kept,
    last_weights,
    losses,
    position,
    rising,
    save_always,
)

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


def notify() -> None:
    os.kill(os.getpid(), signal.SIGUSR2)


@pytest.mark.parametrize("step", [1, 7, STEPS])
def test_training_leaves_at_the_step_of_the_notice_and_continues_bit_for_bit(
    tmp_path: Path, step: int
) -> None:
    undisturbed = adapt(tmp_path, FEW, run="undisturbed", patch_dropout=0.5)
    validate = rising()
    notified = WatchedLoss(at=STEPS + step, action=notify)
    with pytest.raises(LeftError):
        adapt(tmp_path, FEW, validate, notified, patch_dropout=0.5)
    assert len(notified.sizes) == STEPS + step
    assert validate(None, 0) == 2.0  # type: ignore[arg-type]  # Epochs 0 and 1 were validated.
    assert position(tmp_path) == (2, step)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    continued = WatchedLoss()
    resumed = adapt(tmp_path, FEW, lambda *_: 9.0, continued, patch_dropout=0.5)
    assert len(continued.sizes) == 2 * STEPS - step
    assert losses(resumed) == losses(undisturbed)
    assert_same(last_weights(kept(tmp_path)), undisturbed.classifier.state(), 0)


def test_notice_while_a_checkpoint_is_written_is_heeded_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_always(monkeypatch, check_steps=5)
    sync = os.fsync

    def notify_while_syncing(descriptor: int) -> None:
        if list((tmp_path / "run").glob(".epoch-00001-00000005-*")):
            notify()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", notify_while_syncing)
    loss = WatchedLoss()
    with pytest.raises(LeftError):
        adapt(tmp_path, FEW, objective=loss)
    assert len(loss.sizes) == STEPS + 5
    assert position(tmp_path) == (2, 5)


def test_notice_during_validation_keeps_the_epochs_score(tmp_path: Path) -> None:
    def validate(_: Classifier, epoch: int) -> float:
        if epoch == 1:
            notify()
        return float(epoch)

    with pytest.raises(LeftError):
        adapt(tmp_path, FEW, validate)
    assert position(tmp_path) == (2, 0)
