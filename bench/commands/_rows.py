"""Rows as text: for a terminal of some width, or as CSV, JSON or Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from bench.core.terminal import columns_of, escaped

_GAP = "  "
_NARROWEST = 6
"""Columns of a cell below which a table is shown row by row instead."""


def formatted(form: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as ``csv``, ``json`` (a list of objects) or ``md``, without a last line break."""
    return _FORMS[form](columns, rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    """Return rows for a terminal: fitted to its width, escaped.

    Cells that are too wide end in an ellipsis. Where columns would be too narrow to read, each
    value has a line of its own.

    Args:
        columns: The names of the columns.
        rows: The cells.
        width: Columns of the terminal; None for no limit.
    """
    cells = [[_shown(value) for value in row] for row in rows]
    names = [_one_line(name) for name in columns]
    widths = [max(map(columns_of, column)) for column in zip(names, *cells, strict=True)]
    if width is not None:
        widths = _fitted(widths, width)
        if not widths:
            return _by_row(names, cells, width)
    right = [all(isinstance(row[i], int | float) or row[i] is None for row in rows)
             for i in range(len(columns))]  # fmt: skip
    lines = [names, ["─" * each for each in widths], *cells]
    return "\n".join(_line(line, widths, right) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for cell, width, is_number in zip(cells, widths, right, strict=True):
        text = _cut(cell, width)
        space = " " * (width - columns_of(text))
        padded.append(space + text if is_number else text + space)
    return _GAP.join(padded).rstrip()


def _fitted(widths: Sequence[int], width: int) -> list[int]:
    """Return widths that fit together, the widest cut most; none if cells got too narrow."""
    room = width - len(_GAP) * (len(widths) - 1)
    if sum(widths) <= room:
        return list(widths)
    low = max((cap for cap in range(room + 1) if sum(min(w, cap) for w in widths) <= room),
              default=0)  # fmt: skip
    return [min(each, low) for each in widths] if low >= _NARROWEST else []


def _by_row(names: Sequence[str], cells: Iterable[Sequence[str]], width: int) -> str:
    longest = max(map(columns_of, names))
    room = max(width - longest - len(_GAP), _NARROWEST)
    blocks = [
        "\n".join(
            f"{name}{' ' * (longest - columns_of(name))}{_GAP}{_cut(cell, room)}".rstrip()
            for name, cell in zip(names, row, strict=True)
        )
        for row in cells
    ]
    return "\n\n".join(blocks)


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return _one_line(_text(value))


def _one_line(text: str) -> str:
    return escaped(" ".join(text.split()))


def _text(value: object) -> str:
    """Return a value as text; JSON for lists and structs."""
    if isinstance(value, bool | list | dict | tuple):
        return msgspec.json.encode(_plain(value)).decode()
    return str(value)


def _plain(value: object) -> object:
    """Return a value that JSON has: no number that is none, dates and others as text."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


def _cut(text: str, width: int) -> str:
    if columns_of(text) <= width:
        return text
    while text and columns_of(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    # A reader skips a line with nothing in it.
    return "\n".join(",".join(map(_in_csv, line)) or '""' for line in [columns, *rows])


def _in_csv(value: object) -> str:
    """Return a cell; nothing for none, quotes for an empty text and where they are needed."""
    if value is None:
        return ""
    text = _text(value)
    plain = text and not any(sign in text for sign in ',"\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    objects = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
    return msgspec.json.encode(objects).decode()


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_shown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(map(_in_markdown, line))} |" for line in lines)


def _in_markdown(text: str) -> str:
    """Return a text that is no Markdown and no HTML."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in _one_line(text))


_FORMS: dict[str, Callable[[Sequence[str], Sequence[Sequence[Any]]], str]] = {
    "csv": _csv,
    "json": _json,
    "md": _markdown,
}
