"""Checkpoints of a training: the last state, from which it continues, and the best weights."""

import shutil
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
        name = f"epoch-{self.history[-1].epoch:05d}{'' if self.optimiser else '-done'}"
        with atomic_folder(folder / name) as new:
            safetensors.torch.save_file(self.last, new / "last.safetensors")
            safetensors.torch.save_file(self.best, new / "best.safetensors")
            if self.optimiser:
                # Given a name instead, torch does not say that the disk is full.
                with (new / "optimiser.pt").open("wb") as stream:
                    torch.save(self.optimiser, stream)
            (new / "history.json").write_bytes(msgspec.json.encode(self.history))
        for path in folder.iterdir():
            if path.name != name:
                shutil.rmtree(path)

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint | None":
        """Return the newest checkpoint below a folder, or None.

        Raises:
            BenchError: If it is unreadable.
        """
        found = sorted(folder.glob("epoch-*"))
        if not found:
            return None
        newest = found[-1]
        optimiser = newest / "optimiser.pt"
        try:
            return cls(
                history=msgspec.json.decode(
                    (newest / "history.json").read_bytes(), type=list[Epoch]
                ),
                last=safetensors.torch.load_file(newest / "last.safetensors"),
                best=safetensors.torch.load_file(newest / "best.safetensors"),
                optimiser=torch.load(optimiser, map_location="cpu", weights_only=True)
                if optimiser.is_file()
                else {},
            )
        except (OSError, RuntimeError, SafetensorError, msgspec.MsgspecError) as error:
            raise BenchError(
                f"the checkpoint {newest} is damaged", f"delete {folder} and run again"
            ) from error
