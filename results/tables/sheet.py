"""A table as people read it: text in cells, whatever it is then written as."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal, NamedTuple

from bench.core.terminal import escaped

Kind = Literal["text", "prose", "right", "number"]
"""What a column holds: short text; text that may take several lines; what stands to the right, as
sizes do; or numbers, whose points stand below each other."""


class Sheet(NamedTuple):
    """A table of text.

    Attributes:
        title: One line.
        head: The columns' names.
        kinds: What each column holds.
        rows: The cells, one line each.
        note: What the numbers are, in sentences.
        label: What a reference to it is called: letters, digits, ``-`` and ``:``.
        breaks: Rows that begin another part.
    """

    title: str
    head: list[str]
    kinds: list[Kind]
    rows: list[list[str]]
    note: str = ""
    label: str = ""
    breaks: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, title: str, columns: Sequence[tuple[str, Kind]], rows: Sequence[Sequence[object]]
    ) -> "Sheet":
        """Return a table, given its columns' names and kinds; names from outside become one line.

        A column without a cell is left out.
        """
        cells = [[one_line(str(cell)) for cell in row] for row in rows]
        every = range(len(columns))
        kept = [at for at in every if any(row[at] for row in cells)] or every
        return cls(
            one_line(title),
            [columns[at][0] for at in kept],
            [columns[at][1] for at in kept],
            [[row[at] for at in kept] for row in cells],
        )


def one_line(text: str) -> str:
    """Return a text from outside as one line in which nothing moves a cursor."""
    return " ".join(escaped(text).split())


def as_csv(sheet: Sheet) -> str:
    """Return the cells of a table as lines of comma-separated values, below its head."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([sheet.head, *sheet.rows])
    return text.getvalue()


def label(*names: str) -> str:
    """Return what a reference to a table is called, given the names of what it shows.

    Letters of other alphabets are their codes there, such as ``U98DE``.
    """
    last = "-".join(PurePath(name).name for name in names)
    coded = (f"U{ord(sign):X}" if ord(sign) > 127 and sign.isalnum() else sign for sign in last)
    return re.sub("[^A-Za-z0-9]+", "-", "".join(coded)).strip("-")
