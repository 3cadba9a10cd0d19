"""Checkpoints that a kill, a disk or somebody else damaged."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import safetensors.torch
import torch

from adapt.checkpoint import Checkpoint, EpochProgress
from bench.core.errors import BenchError
from tests.support.tiny_training import (
    EndedError,
    WatchedLoss,
    adapt,
    assert_same,
    kept,
    save_always,
)

torch.set_num_threads(1)


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint that a training left which ended in its second epoch."""
    save_always(monkeypatch)
    with pytest.raises(EndedError):
        adapt(tmp_path, objective=WatchedLoss(at=6))
    (checkpoint,) = (tmp_path / "run").iterdir()
    return checkpoint


def shorten(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])


def swap_moments(path: Path) -> None:
    """Give two parameters of different shapes each other's state."""
    state = torch.load(path, weights_only=True)
    moments = state["optimiser"]["state"]
    moments[0], moments[1] = moments[1], moments[0]
    torch.save(state, path)


def rewrite(folder: Path, **changes: object) -> None:
    """Let a checkpoint say something else about its training."""
    path = folder / "training.json"
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), **changes}).encode())


def at_step(folder: Path, step: int) -> None:
    """Let a checkpoint and its name place it at a step of the next epoch."""
    rewrite(folder, progress={"step": step})
    folder.rename(folder.with_name(f"{folder.name}-{step:08d}"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "weights cut": lambda folder: shorten(folder / "last.safetensors", -7),
    "weights gone": lambda folder: (folder / "trained.safetensors").unlink(),
    "weights of another model": lambda folder: safetensors.torch.save_file(
        {"head.weight": torch.zeros(2, 2)}, folder / "trained.safetensors"
    ),
    "weights of no epoch": lambda folder: safetensors.torch.save_file(
        {}, folder / "trained.safetensors"
    ),
    "optimiser gone": lambda folder: (folder / "optimiser.pt").unlink(),
    "optimiser empty": lambda folder: shorten(folder / "optimiser.pt", 0),
    "optimiser cut": lambda folder: shorten(folder / "optimiser.pt", -1000),
    "optimiser no pickle": lambda folder: (folder / "optimiser.pt").write_bytes(b"garbage" * 99),
    "optimiser a list": lambda folder: torch.save([1], folder / "optimiser.pt"),
    "optimiser of no state": lambda folder: torch.save({}, folder / "optimiser.pt"),
    "optimiser of other keys": lambda folder: torch.save(
        {"optimiser": {}}, folder / "optimiser.pt"
    ),
    "optimiser of other code": lambda folder: torch.save(Path, folder / "optimiser.pt"),
    "optimiser of other shapes": lambda folder: swap_moments(folder / "optimiser.pt"),
    "history empty": lambda folder: rewrite(folder, history=[]),
    "history a list": lambda folder: (folder / "training.json").write_bytes(b"[]"),
    "history no text": lambda folder: (folder / "training.json").write_bytes(b"\xff\xfe"),
    "history gone": lambda folder: (folder / "training.json").unlink(),
    "place past the epoch": lambda folder: at_step(folder, 4),
    "place before the epoch": lambda folder: at_step(folder, -1),
    "place of another step": lambda folder: rewrite(folder, progress={"step": 1}),
    "finished too early": lambda folder: folder.rename(folder.with_name(f"{folder.name}-done")),
    "history of another epoch": lambda folder: folder.rename(folder.with_name("epoch-00002")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_checkpoint_is_a_clear_error(
    tmp_path: Path, cut: Path, damage: Callable[[Path], object]
) -> None:
    damage(cut)
    with pytest.raises(BenchError, match=r"damaged; delete .*run and run again"):
        adapt(tmp_path)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 6])
def test_checkpoint_of_another_version_is_refused(tmp_path: Path, cut: Path, version: int) -> None:
    if version == 1:  # It had a list of epochs under another name.
        history = json.loads((cut / "training.json").read_bytes())["history"]
        (cut / "history.json").write_text(json.dumps(history))
        (cut / "training.json").unlink()
    else:
        rewrite(cut, format=version, something="new")
    with pytest.raises(BenchError, match=r"another version of this program; delete .*run"):
        adapt(tmp_path)


def test_saving_removes_checkpoints_alone(tmp_path: Path, cut: Path) -> None:
    note, leftover = cut.with_name("notes.txt"), cut.with_name(".epoch-00002-1a2b3c4d")
    note.write_text("learning rate too high?")
    leftover.mkdir()
    (leftover / "last.safetensors").write_bytes(b"half")
    adapt(tmp_path)
    assert sorted(path.name for path in cut.parent.iterdir()) == ["epoch-00003-done", "notes.txt"]


def test_what_a_kill_leaves_beside_the_finished_one_is_removed(tmp_path: Path) -> None:
    first = adapt(tmp_path)
    (done,) = (tmp_path / "run").iterdir()
    weights = first.classifier.state()
    checkpoint = Checkpoint(first.history, EpochProgress(), weights, weights, {"optimiser": {}})
    checkpoint.save(tmp_path / "before")
    (before,) = (tmp_path / "before").iterdir()
    before.rename(done.with_name(before.name))
    again = adapt(tmp_path)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [done.name]
    assert_same(again.classifier.state(), first.classifier.state(), 0)


def test_checkpoint_is_on_disk_before_the_last_one_is_removed(
    tmp_path: Path, cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = os.fsync, set[int]()

    def note(descriptor: int) -> None:
        assert cut.exists()
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    before = kept(tmp_path)
    monkeypatch.setattr(os, "fsync", note)
    later = msgspec.structs.replace(before.history[-1], epoch=2)
    replace(before, history=[*before.history, later]).save(cut.parent)
    (new,) = cut.parent.iterdir()
    assert new.name != cut.name
    assert {path.stat().st_ino for path in (cut.parent, new, *new.iterdir())} == synced


def test_loaded_weights_do_not_hold_their_file(tmp_path: Path, cut: Path) -> None:
    weight = kept(tmp_path).trained["head.weight"]
    before = weight.clone()
    path = cut / "trained.safetensors"
    with path.open("r+b") as stream:
        stream.write(b"\0" * path.stat().st_size)
    assert torch.equal(weight, before)
