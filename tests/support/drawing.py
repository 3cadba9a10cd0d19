"""Figures of a home's one experiment."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bench.core.paths import Home
from results.database import queries
from results.drawing.drawn import Drawn
from results.drawing.look import LOOKS, Place
from results.drawing.wanted import Wanted
from tests.support.records import collected


@contextmanager
def wanted(home: Home, place: Place = "paper", **asked: Any) -> Iterator[Wanted]:
    """Collect, and yield what a figure is asked to show."""
    with collected(home) as connection:
        (experiment,) = queries.experiments(connection)
        yield Wanted(home, connection, experiment, LOOKS[place], **asked)


def drawn(home: Home, name: str, place: Place = "paper", **asked: Any) -> Drawn:
    """Return a figure."""
    with wanted(home, place, **asked) as one:
        figure: Drawn = import_module(f"results.figures.{name}").draw(one)
        return figure


def lines(panel: Axes) -> list[tuple[Line2D, NDArray[np.float64]]]:
    """Return the lines that show data, with their points ``[points, 2]``."""
    return [
        (line, np.asarray(line.get_xydata(), np.float64))
        for line in panel.get_lines()
        if line.get_transform() == panel.transData
    ]
