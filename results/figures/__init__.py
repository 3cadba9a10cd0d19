"""Figures; a name of ``bench figure`` is a file here."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import unknown_name
from bench.core.summaries import documentation, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from results.drawing.drawn import Drawn
    from results.drawing.wanted import Wanted


def names() -> list[str]:
    """Return the names of all figures."""
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in files if not name.startswith("_"))


def what(name: str) -> str:
    """Return what a figure shows: the first line of its file."""
    return first_line(documentation(Path(__path__[0]) / f"{name}.py"))


def figure(name: str) -> Callable[[Wanted], Drawn]:
    """Return the function that draws a figure.

    It raises RequestError where there is nothing to draw.

    Raises:
        RequestError: If there is no such figure.
    """
    if name not in (known := names()):
        raise unknown_name("figure", name, known)
    draw: Callable[[Wanted], Drawn] = importlib.import_module(f"{__name__}.{name}").draw
    return draw
