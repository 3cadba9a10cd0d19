"""How wide text is, and text that fits: in lines, or without its middle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from string import ascii_uppercase
from typing import NamedTuple

from matplotlib.figure import Figure

from results.drawing.fonts import add_fonts, numbered

POINT = 1 / 72
"""A point in inches."""

LEADING = 1.25
"""From one line to the next, in sizes of the font."""

_PIECE = re.compile(r"[^\s/=:,-]*[\s/=:,-]*")
"""What a line may end after."""


class Names(NamedTuple):
    """Names as they fit into a figure.

    Attributes:
        shown: Name to what stands for it, perhaps on several lines; no two are alike.
        key: Letter to the name that it stands for, of the names that had to be shortened.
    """

    shown: dict[str, str]
    key: dict[str, str]

    def width(self, size: float) -> float:
        """Return the width of the widest, in inches."""
        return max((width(text, size) for text in self.shown.values()), default=0.0)

    def lines(self) -> int:
        """Return the lines of all."""
        return sum(text.count("\n") + 1 for text in self.shown.values())


@cache
def width(text: str, size: float) -> float:
    """Return how wide a text is, in inches; of several lines, the widest.

    Args:
        text: What is to be shown, by the default font or what stands in for it.
        size: Of the font, in points.
    """
    figure = Figure()
    drawn = figure.text(0, 0, text, fontsize=size, parse_math=False)
    add_fonts(figure)
    return float(drawn.get_window_extent().width / figure.dpi)


def height(text: str, size: float) -> float:
    """Return how high the lines of a text are, in inches."""
    return (text.count("\n") + 1) * size * LEADING * POINT


def fitted(text: str, size: float, room: float, lines: int) -> str:
    """Return a text in lines that are no wider than the room, without its middle if it must be.

    Args:
        text: One paragraph.
        size: Of the font, in points.
        room: Inches.
        lines: How many there may be.
    """
    text = " ".join(text.split())
    if (whole := _wrapped(numbered(text), size, room)).count("\n") < lines:
        return whole
    fewest, most, best = 0, len(text), "…"
    while fewest < most:
        keep = (fewest + most + 1) // 2
        start, end = text[: keep - keep // 2].rstrip(), text[len(text) - keep // 2 :].lstrip()
        shortened = _wrapped(numbered(f"{start}…{end}"), size, room)
        if shortened.count("\n") < lines:
            fewest, best = keep, shortened
        else:
            most = keep - 1
    return best


def fit_names(
    names: Sequence[str], size: float, room: float, lines: int = 2, *, after: int = 0
) -> Names:
    """Return names that fit, those that must be shortened with a letter before them.

    Args:
        names: Different ones.
        size: Of the font, in points.
        room: Inches.
        lines: How many each may have.
        after: So many letters are taken by other names.
    """
    every = [*ascii_uppercase, *(a + b for a in ascii_uppercase for b in ascii_uppercase)]
    letters = iter(every[after:])
    shown, key = {}, {}
    for name in names:
        shown[name] = fitted(name, size, room, lines)
        if "…" in shown[name] or list(shown.values()).count(shown[name]) > 1:
            letter = next(letters)
            key[letter] = name
            shown[name] = fitted(f"{letter}: {name}", size, room, lines)
    return Names(shown, key)


def _wrapped(text: str, size: float, room: float) -> str:
    """Return a text in lines; what does not fit into one is broken anywhere."""
    lines = [""]
    for piece in filter(None, _PIECE.findall(text)):
        if width((lines[-1] + piece).rstrip(), size) <= room:
            lines[-1] += piece
        elif width(piece.rstrip(), size) <= room:
            lines.append(piece)
        else:
            for sign in piece:
                if width((lines[-1] + sign).rstrip(), size) <= room:
                    lines[-1] += sign
                else:
                    lines.append(sign)
    return "\n".join(line.strip() for line in lines if line.strip()) or " "
