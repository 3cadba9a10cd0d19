"""Tables for a terminal: aligned, and never wider than it."""

import textwrap
from typing import NamedTuple

from bench.core.terminal import columns_of
from results.tables.sheet import Kind, Sheet
from results.wording import WIDTH, wrapped

_GAP = "  "
_NARROWEST = 8
_WORDS = (32, 16, _NARROWEST)
"""From how many letters on words may be cut: the first that leaves every column room."""


class _Column(NamedTuple):
    cells: list[str]
    kind: Kind

    def least(self, word: int) -> int:
        """Return how narrow it may be: as its longest word, or a part of one; never a number's."""
        head, *cells = self.cells
        if self.kind in ("right", "number"):
            return max([_longest([head], word), *map(columns_of, cells)])
        return max(_NARROWEST, _longest(self.cells, word))


def _longest(cells: list[str], most: int) -> int:
    words = (columns_of(word) for cell in cells for word in cell.split())
    return min(most, max(words, default=0))


def as_text(sheet: Sheet, width: int = WIDTH) -> str:
    """Return a table, title and note included, in lines of at most so many columns.

    Where it is too wide, cells of text are wrapped, the widest first. Where that is not enough,
    its columns of numbers are split; where even one has no room, each row becomes a list of its
    cells.
    """
    readable = min(width, WIDTH)
    notes = (wrapped(line, readable) for line in sheet.note.splitlines())
    parts = [wrapped(sheet.title, readable), aligned(sheet, width), *notes]
    return "\n".join(filter(None, parts))


def aligned(sheet: Sheet, width: int = WIDTH) -> str:
    """Return the rows of a table below its head, as `as_text` does, without title and note."""
    lines = [sheet.head, *sheet.rows]
    cells = zip(*lines, strict=True)
    columns = [
        _Column(_pointed(list(column), kind), kind)
        for column, kind in zip(cells, sheet.kinds, strict=True)
    ]
    bands = next(filter(None, (_bands(columns, width, word) for word in _WORDS)), None)
    if bands is None:
        return _as_lists(sheet, width)
    return "\n\n".join(_band(some, widths) for some, widths in bands)


def _bands(columns: list[_Column], width: int, word: int) -> list[tuple[list[_Column], list[int]]]:
    """Return columns side by side, with their widths; none if there is no room.

    Where not all have room, those that lead, before the first number, come again with the others.
    """
    widths = _fitted(columns, width, word)
    if widths is not None:
        return [(columns, widths)]
    numbers = [at for at, column in enumerate(columns) if column.kind == "number"]
    lead = numbers[0] if numbers else len(columns)
    for fits in range(len(columns) - 1, lead, -1):
        widths = _fitted(columns[:fits], width, word)
        if widths is not None:
            others = _bands([*columns[:lead], *columns[fits:]], width, word)
            return [(columns[:fits], widths), *others] if others else []
    return []


def _band(columns: list[_Column], widths: list[int]) -> str:
    rows = zip(*(column.cells for column in columns), strict=True)
    kinds = [column.kind for column in columns]
    shown: list[str] = []
    for cells in rows:
        shown += _row(list(map(_wrapped, cells, widths)), widths, kinds)
    return "\n".join(shown)


def _pointed(column: list[str], kind: Kind) -> list[str]:
    """Return a column whose numbers have their points below each other."""
    if kind != "number":
        return column
    behind = [len(cell) - cell.find(".") if "." in cell else 0 for cell in column[1:]]
    most = max(behind, default=0)
    return [
        column[0],
        *(cell + " " * (most - own) for cell, own in zip(column[1:], behind, strict=True)),
    ]


def _fitted(columns: list[_Column], width: int, word: int) -> list[int] | None:
    """Return the columns' widths, text as narrow as it must be; None if there is no room."""
    room = width - len(_GAP) * (len(columns) - 1)
    widths = [max(map(columns_of, column.cells)) for column in columns]
    least = [min(own, column.least(word)) for own, column in zip(widths, columns, strict=True)]
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda at: (widths[at] > least[at], widths[at]))
        widths[widest] -= 1
    return widths


def _as_lists(sheet: Sheet, width: int) -> str:
    """Return each row as lines of a name and a cell."""
    blocks = []
    for row in sheet.rows:
        named = zip(sheet.head, row, strict=True)
        lines = [_wrapped(f"{name}: {cell}", width) for name, cell in named if cell]
        blocks.append("\n".join(line for cell in lines for line in cell))
    return "\n\n".join(blocks)


def _row(cells: list[list[str]], widths: list[int], kinds: list[Kind]) -> list[str]:
    lines = []
    for at in range(max(map(len, cells))):
        padded = []
        for cell, room, kind in zip(cells, widths, kinds, strict=True):
            text = cell[at] if at < len(cell) else ""
            space = " " * (room - columns_of(text))
            padded.append(space + text if kind in ("right", "number") else text + space)
        lines.append(_GAP.join(padded).rstrip())
    return lines


def _wrapped(cell: str, room: int) -> list[str]:
    """Return a cell in lines; a word that is too long is cut."""
    if columns_of(cell) <= room:
        return [cell]
    # textwrap counts characters; where some are two columns wide, half as many fit.
    narrow = room if columns_of(cell) == len(cell) else room // 2
    return textwrap.wrap(cell, narrow, break_on_hyphens=False)
