"""What the parts share: where they run, what they report, and how time is taken."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch


@dataclass(frozen=True)
class Machine:
    """Where a part runs.

    Attributes:
        device: The device.
        tiny: Whether to run every line on the smallest networks and sizes, for a CPU.
        folder: An empty folder of the part's own.
    """

    device: torch.device
    tiny: bool
    folder: Path

    @property
    def cores(self) -> int:
        """Cores that this process may use."""
        return len(os.sched_getaffinity(0))

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """Return how long some work takes, the device's share of it included."""
        self.synchronise()
        start = time.perf_counter()
        work()
        self.synchronise()
        return time.perf_counter() - start

    def rates(self, amount: float, *works: Callable[[], object], turns: int) -> list[list[float]]:
        """Return each work's amounts a second, turn by turn, after one turn that warms up."""
        taken = [[self.seconds(work) for work in works] for _ in range(turns + 1)][1:]
        return [[amount / seconds for seconds in column] for column in zip(*taken, strict=True)]


@dataclass(frozen=True)
class Check:
    """Something that must hold.

    Attributes:
        name: What.
        value: What was found; an error, usually. NaN never holds.
        limit: The largest value that holds.
    """

    name: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether it holds."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Figure:
    """Something that was measured.

    Attributes:
        name: What.
        unit: Of the values.
        values: One a turn.
        floor: What the bare work does, in the same unit and turn by turn; empty if there is none.
        of: What the floor is, in a few words.
        goal: The ratio to the floor that is wanted, if one is.
    """

    name: str
    unit: str
    values: Sequence[float]
    floor: Sequence[float] = ()
    of: str = ""
    goal: float | None = None

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median ratio to the floor."""
        if not self.floor:
            return None
        return median(a / b for a, b in zip(self.values, self.floor, strict=True))


@dataclass(frozen=True)
class Note:
    """Something worth a line: what was left out, and why."""

    text: str


Result = Check | Figure | Note
