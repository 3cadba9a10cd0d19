"""What one figure is about."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from bench.core.specs import RunSpec


class Experiment(NamedTuple):
    """Everything that runs compared in one figure share: all but the images, n and the seed."""

    preset: str
    task: str
    model: str
    objective: str

    @classmethod
    def of(cls, spec: RunSpec) -> Experiment:
        """Return the experiment that a run belongs to."""
        return cls(spec.preset, spec.task, spec.model, spec.objective)

    @property
    def title(self) -> str:
        """One line that tells experiments apart."""
        return f"{self.task} (preset {self.preset}, {PurePath(self.model).name}, {self.objective})"
