"""What one figure is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from bench.core.specs import RunSpec

_SCRATCH = " from scratch"

_NAME_BYTES = 180
"""Of a file's name, which may have 255 with what is before it, its ending and while written."""


class Experiment(NamedTuple):
    """Everything that runs compared in one figure share: all but the images, n and the seed.

    Attributes:
        preset: The preset's name.
        task: The task's name.
        model: The network that is adapted: the model's name or place. From scratch, where it was
            untrained, it is another network, and its baseline another one.
        objective: The objective's name, with its options where experiments differ in them
            (`results.labels.objective_labels`).
    """

    preset: str
    task: str
    model: str
    objective: str

    @classmethod
    def of(cls, spec: RunSpec) -> Experiment:
        """Return the experiment that a run belongs to; its objective is named without options."""
        model = spec.model + (_SCRATCH if spec.train.init == "scratch" else "")
        return cls(spec.preset, spec.task, model, spec.objective)

    @property
    def from_scratch(self) -> bool:
        """Whether the network was untrained."""
        return self.model.endswith(_SCRATCH)

    @property
    def title(self) -> str:
        """One line that tells experiments apart."""
        return f"{self.task} (preset {self.preset}, {PurePath(self.model).name}, {self.objective})"


def file_names(experiments: Sequence[Experiment]) -> dict[Experiment, str]:
    """Name each experiment's files by its task, and by whatever else they differ in."""
    varying = [
        field
        for field in ("preset", "model", "objective")
        if len({getattr(experiment, field) for experiment in experiments}) > 1
    ]
    names: dict[Experiment, str] = {}
    for experiment in experiments:
        parts = [experiment.task, *(PurePath(getattr(experiment, field)).name for field in varying)]
        name = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip(".-") or "experiment"
        name = name.encode()[:_NAME_BYTES].decode(errors="ignore")
        names[experiment] = name if name not in names.values() else f"{name}-{len(names)}"
    return names
