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

from bench.errors import BenchError
from bench.files import atomic_folder
from bench.types import Declared

State = dict[str, Tensor]

_DONE = "-done"

_DAMAGE = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RuntimeError),
    *(pickle.UnpicklingError, SafetensorError, msgspec.MsgspecError),
)
"""What reading a file that is not whole, or not ours, ends in."""


class Epoch(Declared, frozen=True, kw_only=True):
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


def best_of(history: list[Epoch]) -> Epoch:
    """Return the epoch with the best score; of equal ones, the earliest."""
    return max(history, key=lambda epoch: (epoch.score, -epoch.epoch))


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to go on, between two epochs.

    Attributes:
        history: The epochs so far, from 0.
        last: The latest weights.
        best: The weights of the best epoch so far.
        optimiser: States of the optimiser and loss scaler; empty when the training has ended.
    """

    history: list[Epoch]
    last: State
    best: State
    optimiser: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the checkpoint as a folder of its own, and remove what it replaces."""
        with atomic_folder(folder / self._name) as new:
            safetensors.torch.save_file(self.last, new / "last.safetensors")
            safetensors.torch.save_file(self.best, new / "best.safetensors")
            if self.optimiser:
                # Given a name instead, torch does not say that the disk is full.
                with (new / "optimiser.pt").open("wb") as stream:
                    torch.save(self.optimiser, stream)
            (new / "history.json").write_bytes(msgspec.json.encode(self.history))
        self.remove_others(folder)

    def remove_others(self, folder: Path) -> None:
        """Remove every other checkpoint, and what a kill left of one."""
        for path in [*folder.glob("epoch-*"), *folder.glob(".epoch-*")]:
            if path.is_dir() and path.name != self._name:
                shutil.rmtree(path)

    @property
    def _name(self) -> str:
        return f"epoch-{self.history[-1].epoch:05d}{'' if self.optimiser else _DONE}"

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint | None":
        """Return the newest checkpoint below a folder, or None.

        Raises:
            BenchError: If it is unreadable.
        """
        found = sorted(path for path in folder.glob("epoch-*") if path.is_dir())
        if not found:
            return None
        with damage_reported(folder):
            return cls._read(found[-1])

    @classmethod
    def _read(cls, folder: Path) -> "Checkpoint":
        done = folder.name.endswith(_DONE)
        optimiser = folder / "optimiser.pt"
        checkpoint = cls(
            history=msgspec.json.decode((folder / "history.json").read_bytes(), type=list[Epoch]),
            last=_weights(folder / "last.safetensors"),
            best=_weights(folder / "best.safetensors"),
            optimiser={} if done else torch.load(optimiser, map_location="cpu", weights_only=True),
        )
        epochs = [epoch.epoch for epoch in checkpoint.history]
        if epochs != list(range(len(epochs))) or checkpoint._name != folder.name:
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


def _weights(path: Path) -> State:
    # A file that is mapped instead of read cannot be removed from a network file system.
    weights: State = safetensors.torch.load(path.read_bytes())
    return weights
