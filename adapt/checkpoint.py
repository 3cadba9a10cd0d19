"""Checkpoints of a training: the last state, from which it continues, and the best weights."""

import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from bench.core.config import Config, Natural, Positive
from bench.core.errors import BenchError
from bench.core.files import atomic_folder

State = dict[str, Tensor]

_DONE = "-done"

FORMAT = 2
"""Of what a checkpoint says about its training; 1 had no place within an epoch."""

_DAMAGE = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RuntimeError),
    *(pickle.UnpicklingError, SafetensorError, msgspec.MsgspecError),
)
"""What reading a file that is not whole, or not ours, ends in."""


class Epoch(Config, frozen=True, kw_only=True):
    """What one epoch of a training did."""

    epoch: int
    """0 is the unadapted model."""
    loss: float | None
    """Mean training loss of the steps; None for epoch 0."""
    lr: float
    """Learning rate of the last step."""
    score: float
    """What selects the epoch, on validation data."""
    train_seconds: float
    validate_seconds: float
    micro_batch: int | None = None
    """Images in one forward pass, where memory was too short for what was asked; else None."""


class EpochProgress(Config, frozen=True, kw_only=True):
    """What is done of the epoch after the last that was judged."""

    step: Natural = 0
    """Optimiser steps taken."""
    loss: float = 0.0
    """Sum of their losses."""
    seconds: float = 0.0
    micro_batch: Positive | None = None
    """As in `Epoch`, at the latest step."""


class _Format(msgspec.Struct):
    format: int = 1


class _Written(Config, frozen=True, kw_only=True):
    """A checkpoint without its tensors."""

    format: int = FORMAT
    history: list[Epoch]
    underway: EpochProgress


def best_of(history: list[Epoch]) -> Epoch:
    """Return the epoch with the best score; of equal ones, the earliest."""
    return max(history, key=lambda epoch: (epoch.score, -epoch.epoch))


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to go on, between two steps.

    Attributes:
        history: The epochs so far, from 0.
        underway: What is done of the epoch after them.
        last: The latest weights.
        best: The weights of the best epoch so far.
        optimiser: States of the optimiser and loss scaler; empty when the training has ended.
    """

    history: list[Epoch]
    underway: EpochProgress
    last: State
    best: State
    optimiser: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the checkpoint as a folder of its own, and remove what it replaces."""
        with atomic_folder(folder / self.name, durable=True) as new:
            safetensors.torch.save_file(self.last, new / "last.safetensors")
            safetensors.torch.save_file(self.best, new / "best.safetensors")
            if self.optimiser:
                # Given a name instead, torch does not say that the disk is full.
                with (new / "optimiser.pt").open("wb") as stream:
                    torch.save(self.optimiser, stream)
            written = _Written(history=self.history, underway=self.underway)
            (new / "training.json").write_bytes(msgspec.json.encode(written))
        self.remove_others(folder)

    def remove_others(self, folder: Path) -> None:
        """Remove every other checkpoint, and what a kill left of one."""
        for path in [*folder.glob("epoch-*"), *folder.glob(".epoch-*")]:
            if path.is_dir() and path.name != self.name:
                shutil.rmtree(path)

    @property
    def name(self) -> str:
        """The folder's name; the newest checkpoint's comes last in the alphabet."""
        step = f"-{self.underway.step:08d}" if self.underway.step else ""
        return f"epoch-{len(self.history) - 1:05d}{step}{'' if self.optimiser else _DONE}"

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint | None":
        """Return the newest checkpoint below a folder, or None.

        Raises:
            BenchError: If it is unreadable, or another version's.
        """
        found = sorted(path for path in folder.glob("epoch-*") if path.is_dir())
        if not found:
            return None
        with damage_reported(folder):
            _check_format(found[-1])
            return cls._read(found[-1])

    @classmethod
    def _read(cls, folder: Path) -> "Checkpoint":
        done = folder.name.endswith(_DONE)
        optimiser = folder / "optimiser.pt"
        written = msgspec.json.decode((folder / "training.json").read_bytes(), type=_Written)
        checkpoint = cls(
            history=written.history,
            underway=written.underway,
            last=_weights(folder / "last.safetensors"),
            best=_weights(folder / "best.safetensors"),
            optimiser={} if done else torch.load(optimiser, map_location="cpu", weights_only=True),
        )
        epochs = [epoch.epoch for epoch in checkpoint.history]
        if epochs != list(range(len(epochs))) or checkpoint.name != folder.name:
            raise ValueError(f"{folder} holds another checkpoint than it says")
        return checkpoint


@contextmanager
def damage_reported(folder: Path) -> Iterator[None]:
    """Turn whatever a damaged checkpoint raises into one line.

    Raises:
        BenchError: Instead.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _DAMAGE as error:
        raise damaged(folder) from error


def damaged(folder: Path) -> BenchError:
    """Return the error that a checkpoint below a folder is damaged."""
    return BenchError(f"the checkpoint in {folder} is damaged", f"delete {folder} and run again")


def _check_format(folder: Path) -> None:
    old = (folder / "history.json").exists()
    content = b"{}" if old else (folder / "training.json").read_bytes()
    if msgspec.json.decode(content, type=_Format).format != FORMAT:
        raise BenchError(
            f"the checkpoint in {folder.parent} was made by another version of this program",
            f"delete {folder.parent} and run again",
        )


def _weights(path: Path) -> State:
    # A file that is mapped instead of read cannot be removed from a network file system.
    weights: State = safetensors.torch.load(path.read_bytes())
    return weights
