"""Fine-tuning through kills: a continued training ends as an undisturbed one."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adapt.batches.order import BatchSchedule, SampledImage
from adapt.data import TrainingImages
from bench.core.specs import TrainSpec
from bench.plugins import Batch
from tests.support.tiny_training import (
    SPEC,
    EndedError,
    N,
    WatchedLoss,
    adapt,
    assert_same,
    kept,
    last_weights,
    losses,
    position,
    save_always,
    train,
    world,
)

torch.set_num_threads(1)

PAIR = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def start(
    folder: Path,
    spec: TrainSpec,
    kill_at: int,
    *launcher: str,
    patch_dropout: float = 0.0,
    check_steps: int = 50,
) -> int:
    """Run this file as a program, in a process of its own or in several."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    words = [folder, kill_at, msgspec.json.encode(spec).decode(), patch_dropout, check_steps]
    command = [sys.executable, *launcher, __file__, *map(str, words)]
    # Returns only when its workers have ended too, as they hold the pipes.
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


# Epochs have 3 steps; with forward passes of 5 images, each of the full batches is 4 calls.
@pytest.mark.parametrize(
    ("options", "patch_dropout", "check_steps", "kill_at", "expected"),
    [
        ({}, 0.0, 50, 5, (2, 0)),
        ({"workers": 2}, 0.5, 2, 5, (2, 2)),
        ({"steps": 9, "sampling": "balanced", "micro_batch": 5}, 0.0, 1, 17, (2, 1)),
    ],
)
def test_killed_training_continues_bit_for_bit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    patch_dropout: float,
    check_steps: int,
    kill_at: int,
    expected: tuple[int, int],
) -> None:
    spec = msgspec.structs.replace(SPEC, **options)
    save_always(monkeypatch, check_steps)
    undisturbed = adapt(tmp_path, spec, run="undisturbed", patch_dropout=patch_dropout)
    code = start(tmp_path, spec, kill_at, patch_dropout=patch_dropout, check_steps=check_steps)
    assert code == -signal.SIGKILL
    assert position(tmp_path) == expected
    resumed = adapt(tmp_path, spec, scores=lambda *_: 9.0, patch_dropout=patch_dropout)
    assert losses(resumed) == losses(undisturbed)
    assert_same(last_weights(kept(tmp_path)), undisturbed.classifier.state(), 0)
    assert resumed.chosen.epoch == 2


def interrupted(folder: Path, calls: int = 5) -> dict[str, Tensor]:
    """Leave a training that ended at a call, and return the weights of an undisturbed one."""
    undisturbed = adapt(folder, run="undisturbed")
    with pytest.raises(EndedError):
        adapt(folder, objective=WatchedLoss(at=calls + 1))
    return undisturbed.classifier.state()


@settings(max_examples=8, deadline=None)
@given(
    check_steps=st.integers(1, 6),
    batch_size=st.integers(3, 20),
    steps=st.none() | st.integers(3, 12),
    cuts=st.lists(st.integers(0, 20), min_size=1, max_size=3),
)
def test_training_cut_anywhere_ends_as_an_undisturbed_one(
    check_steps: int, batch_size: int, steps: int | None, cuts: list[int]
) -> None:
    spec = msgspec.structs.replace(SPEC, batch_size=batch_size, steps=steps, epochs=2)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        save_always(patch, check_steps)
        undisturbed = adapt(folder, spec, run="undisturbed", patch_dropout=0.5)
        for cut in cuts:
            try:
                adapt(folder, spec, objective=WatchedLoss(at=cut + 1), patch_dropout=0.5)
            except EndedError:
                assert position(folder)[1] % check_steps == 0
        resumed = adapt(folder, spec, scores=lambda *_: 9.0, patch_dropout=0.5)
        assert losses(resumed) == losses(undisturbed)
        assert_same(last_weights(kept(folder)), undisturbed.classifier.state(), 0)


@pytest.mark.parametrize("calls", [2, 5, 8])
def test_kept_weights_are_those_of_an_undisturbed_training_where_none_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    save_always(monkeypatch)
    scores = [0.9, 0.3, 0.5, 0.4]
    undisturbed = adapt(tmp_path, scores=lambda _, epoch: scores[epoch], run="undisturbed")
    with pytest.raises(EndedError):
        adapt(tmp_path, scores=lambda _, epoch: scores[epoch], objective=WatchedLoss(at=calls + 1))
    resumed = adapt(tmp_path, scores=lambda _, epoch: scores[epoch])
    assert resumed.epochs == undisturbed.epochs == {"chosen": 0, "trained": 2, "last": 3}
    for epoch, weights in undisturbed.weights.items():
        assert_same(resumed.weights[epoch], weights, 0)


class RecordingImages(TrainingImages):
    """Training images that record which were asked for."""

    asked: list[SampledImage]

    def __getitem__(self, samples: Sequence[SampledImage]) -> Batch:
        self.asked.extend(samples)
        return super().__getitem__(samples)


def test_what_was_trained_on_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_always(monkeypatch, check_steps=1)
    interrupted(tmp_path)
    assert position(tmp_path) == (2, 2)
    classifier, images = world(tmp_path)
    images.__class__ = RecordingImages
    assert isinstance(images, RecordingImages)
    images.asked = []
    train(classifier, images, tmp_path / "run")
    schedule = BatchSchedule(SPEC, images.labels, 0)
    remaining = [*schedule.batches(2)[2:], *schedule.batches(3)]
    assert images.asked == [sample for batch in remaining for sample in batch]


@pytest.mark.parametrize(
    ("changes", "sizes", "tolerance"),
    [({"workers": 1, "nodes": 2}, [8, 16, 16, 8], 0), ({"micro_batch": 4}, [4] * 12, 2e-6)],
)
def test_workers_nodes_and_forward_passes_may_change_between_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, int],
    sizes: list[int],
    tolerance: float,
) -> None:
    save_always(monkeypatch, check_steps=2)
    undisturbed, loss = interrupted(tmp_path), WatchedLoss()
    adapt(tmp_path, msgspec.structs.replace(SPEC, **changes), objective=loss)
    assert loss.sizes == sizes
    assert_same(last_weights(kept(tmp_path)), undisturbed, tolerance)


@pytest.mark.slow
def test_two_processes_equal_one_and_continue_bit_for_bit(tmp_path: Path) -> None:
    # The last of four batches is one image: the second process has none.
    spec = msgspec.structs.replace(SPEC, batch_size=13)
    assert N % 13 == 1
    alone = adapt(tmp_path, spec, run="alone")
    left, cut = tmp_path / "left", tmp_path / "cut"
    assert start(left, spec, 1000, *PAIR) == 0
    together = kept(left)
    assert_same(last_weights(together), alone.classifier.state(), 2e-6)
    assert losses(together) == pytest.approx(losses(alone), abs=1e-6)
    assert start(cut, spec, 6, *PAIR, check_steps=2) != 0
    assert position(cut) == (2, 2)
    assert start(cut, spec, 1000, *PAIR, check_steps=2) == 0
    assert_same(kept(cut).last, together.last, 0)
    assert losses(kept(cut)) == pytest.approx(losses(together), rel=1e-12)


def main() -> None:
    """Adapt in the folder of the first argument; be killed at the step of the second."""
    folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
    spec = msgspec.json.decode(sys.argv[3], type=TrainSpec)
    save_always(pytest.MonkeyPatch(), check_steps=int(sys.argv[5]))
    classifier, images = world(
        folder / f"rank-{os.environ.get('RANK', '0')}", patch_dropout=float(sys.argv[4])
    )
    killed = WatchedLoss(kill_at + 1, lambda: os.kill(os.getpid(), signal.SIGKILL))
    train(classifier, images, folder / "run", spec, objective=killed)


if __name__ == "__main__":
    main()
