"""Checkpoints of a training: the latest state, to continue from, and the best weights."""

import functools
import operator
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

FORMAT = 5
"""Version of a checkpoint: 1 had no place within an epoch, 2 had other names, 3 kept the weights of
the best epoch, which may be the unadapted ones, 4 had the classifier alone."""

_DAMAGE = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RuntimeError),
    *(pickle.UnpicklingError, SafetensorError, msgspec.MsgspecError),
)
"""What reading a file may raise that is cut, or not ours."""


class Epoch(Config, frozen=True, kw_only=True):
    """What one epoch of a training did."""

    epoch: int
    """0 is the unadapted model."""
    loss: float | None
    """Mean training loss of the steps; None for epoch 0."""
    parts: dict[str, float] = {}
    """Means over the steps of what else the objective logs."""
    lr: float
    """Learning rate of the last step."""
    score: float
    """Validation score, by which the epoch is chosen."""
    effective_rank: float | None = None
    """Of the features of the val images (`eval.metrics.effective_rank`); None if not known."""
    train_seconds: float
    validate_seconds: float
    micro_batch: int | None = None
    """Images per forward pass, if memory was too short for what was asked; else None."""


class EpochProgress(Config, frozen=True, kw_only=True):
    """What is done of the epoch after the latest in the history."""

    step: Natural = 0
    """Optimiser steps taken."""
    sums: dict[str, float] = {}
    """Sums over these steps of the loss and of what else the objective logs."""
    seconds: float = 0.0
    micro_batch: Positive | None = None
    """The same as in `Epoch`, at the latest step."""

    def after(self, logged: dict[str, list[float]], seconds: float) -> "EpochProgress":
        """Return the progress after further steps, given what each logged."""
        # One by one, so that a sum does not depend on where the steps are cut.
        sums = {
            name: functools.reduce(operator.add, values, self.sums.get(name, 0.0))
            for name, values in logged.items()
        }
        step = self.step + len(logged["loss"])
        return EpochProgress(step=step, sums=sums, seconds=self.seconds + seconds)

    def means(self) -> dict[str, float]:
        """Return the means over the steps taken."""
        return {name: value / self.step for name, value in self.sums.items()}


class _Format(msgspec.Struct):
    format: int = 1


class _Written(Config, frozen=True, kw_only=True):
    """A checkpoint without its tensors."""

    format: int = FORMAT
    history: list[Epoch]
    progress: EpochProgress


def best_of(history: list[Epoch]) -> Epoch:
    """Return the epoch with the best score, the earliest of equal ones."""
    return max(history, key=lambda epoch: (epoch.score, -epoch.epoch))


def trained_of(history: list[Epoch]) -> Epoch:
    """Return the best epoch after the unadapted one; that one, if nothing was trained."""
    return best_of(history[1:] or history)


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to continue, between two steps.

    Attributes:
        history: The epochs so far, from 0.
        progress: What is done of the epoch after them.
        last: The objective's latest state: the classifier, and what is kept beside it.
        trained: The judged classifier's weights of the best epoch after epoch 0; empty before its
            end.
        optimiser: States of the optimiser and the loss scaler; empty when the training has ended.
    """

    history: list[Epoch]
    progress: EpochProgress
    last: State
    trained: State
    optimiser: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the checkpoint as a folder of its own, and remove the ones that it replaces."""
        with atomic_folder(folder / self.name, durable=True) as new:
            safetensors.torch.save_file(self.last, new / "last.safetensors")
            safetensors.torch.save_file(self.trained, new / "trained.safetensors")
            if self.optimiser:
                # With a path instead of a stream, torch does not say that the disk is full.
                with (new / "optimiser.pt").open("wb") as stream:
                    torch.save(self.optimiser, stream)
            written = _Written(history=self.history, progress=self.progress)
            (new / "training.json").write_bytes(msgspec.json.encode(written))
        self.remove_others(folder)

    def remove_others(self, folder: Path) -> None:
        """Remove all other checkpoints, half-written ones included."""
        for path in [*folder.glob("epoch-*"), *folder.glob(".epoch-*")]:
            if path.is_dir() and path.name != self.name:
                shutil.rmtree(path)

    @property
    def name(self) -> str:
        """The folder's name; the newest checkpoint's comes last in the alphabet."""
        step = f"-{self.progress.step:08d}" if self.progress.step else ""
        return f"epoch-{len(self.history) - 1:05d}{step}{'' if self.optimiser else _DONE}"

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint | None":
        """Return the newest checkpoint below a folder, or None.

        Raises:
            BenchError: If it is damaged, or of another version.
        """
        newest = max((path for path in folder.glob("epoch-*") if path.is_dir()), default=None)
        if newest is None:
            return None
        with damage_reported(folder):
            _check_format(newest)
            return cls._read(newest)

    @classmethod
    def _read(cls, folder: Path) -> "Checkpoint":
        done = folder.name.endswith(_DONE)
        optimiser = folder / "optimiser.pt"
        written = msgspec.json.decode((folder / "training.json").read_bytes(), type=_Written)
        checkpoint = cls(
            history=written.history,
            progress=written.progress,
            last=_weights(folder / "last.safetensors"),
            trained=_weights(folder / "trained.safetensors"),
            optimiser={} if done else torch.load(optimiser, map_location="cpu", weights_only=True),
        )
        epochs = [epoch.epoch for epoch in checkpoint.history]
        if epochs != list(range(len(epochs))) or checkpoint.name != folder.name:
            raise ValueError(f"{folder} holds another checkpoint than it says")
        if bool(checkpoint.trained) != (len(epochs) > 1):
            raise ValueError(f"in {folder}, the weights are of another history")
        return checkpoint


@contextmanager
def damage_reported(folder: Path) -> Iterator[None]:
    """Replace whatever a damaged checkpoint raises.

    Raises:
        BenchError: In its place.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _DAMAGE as error:
        raise damaged(folder) from error


def damaged(folder: Path) -> BenchError:
    """Return the error for a damaged checkpoint below a folder."""
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
    # A memory-mapped file cannot be removed from a network file system.
    weights: State = safetensors.torch.load(path.read_bytes())
    return weights
