"""The columns of caption files, however they are spelt, and the separator that gives them."""

import csv
from collections import Counter
from collections.abc import Sequence

from bench.core.errors import RequestError

SEPARATORS = ",;\t|"
"""A comma, what spreadsheets write where the comma is decimal, a tab, a bar."""

_CAPTION = "caption"
_LABELS = ("class", "label")


def known_columns(names: Sequence[object]) -> dict[str, str]:
    """Return a file's spelling of the columns that are read, to ``caption``, ``class``, ``label``.

    Capitals and blanks around a name do not count.

    Raises:
        RequestError: If one is there twice.
    """
    spelt = {name: name.strip().lower() for name in names if isinstance(name, str)}
    known = {name: plain for name, plain in spelt.items() if plain in (_CAPTION, *_LABELS)}
    counts = Counter(name.strip().lower() for name in names if isinstance(name, str))
    for plain in set(known.values()):
        if counts[plain] > 1:
            raise RequestError(f"there are {counts[plain]} columns {plain!r}", "remove the others")
    return known


def check_columns(names: Sequence[str], *, labelled: bool) -> dict[str, str]:
    """Return `known_columns` of a table, of which it needs enough.

    Raises:
        RequestError: If there is no caption or, where captions are labelled, neither a class nor
            a label.
    """
    known = known_columns(names)
    if not _are_enough(known, labelled):
        shown = ", ".join(repr(name) for name in names)[:200]
        fix = "name two of them caption, and class or label" if labelled else "name one caption"
        raise RequestError(f"it has the columns {shown}", fix)
    return known


def separator_of(header: str, *, labelled: bool) -> str:
    """Return the separator of a CSV file; a comma where none gives the columns wanted."""
    fitting = [
        mark for mark in SEPARATORS if _are_enough(known_columns(_split(header, mark)), labelled)
    ]
    return fitting[0] if fitting else ","


def _are_enough(known: dict[str, str], labelled: bool) -> bool:
    plain = set(known.values())
    return _CAPTION in plain and not (labelled and plain.isdisjoint(_LABELS))


def _split(header: str, mark: str) -> list[str]:
    return next(csv.reader([header], delimiter=mark), [])
