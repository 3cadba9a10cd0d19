"""What a figure is asked to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.paths import Home
from results.drawing.look import Look
from results.experiment import Experiment

if TYPE_CHECKING:
    from results.database.store import Connection


@dataclass(frozen=True)
class Wanted:
    """What a figure is asked to show; a figure ignores what it has no use for.

    Attributes:
        home: Where the records and the images are.
        connection: The database.
        experiment: What it is about.
        look: What it is for.
        evaluators: Labels of the evaluators to show, in order; none for all.
        arms: Labels of the two arms to compare, the first minus the second; none for the figure's
            choice.
        wide: Whether it may be as wide as a page, or as a column.
        class_name: A class of the task; none for the first one that has images.
        images: How many images of each arm.
        price: Dollars per hour of a device; None where it is unknown.
    """

    home: Home
    connection: Connection
    experiment: Experiment
    look: Look
    evaluators: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    wide: bool = False
    class_name: str = ""
    images: int = 4
    price: float | None = None
