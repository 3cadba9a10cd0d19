"""Published tables by name, as they were printed, with where they are from and what to know."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from bench.core.config import Config
from bench.core.errors import unknown_name
from bench.core.yaml_files import read_yaml

_FILES = ("geng2024", "tian2023", "stablerep", "superstablerep", "models")
"""Names of papers, each with its tables."""


class PublishedTable(Config, frozen=True, kw_only=True):
    """One published table.

    Attributes:
        name: What it is asked for by.
        title: What it shows, with the unit.
        where: The place, as `docs/references.md` cites.
        columns: Names of its columns.
        rows: Cells: a text, or a number as it was printed.
        notes: What a reader should know before believing or comparing it.
    """

    name: str
    title: str
    where: str
    columns: list[str]
    rows: list[list[str | float | int]]
    notes: list[str] = []


class Paper(Config, frozen=True, kw_only=True):
    """The tables of one paper."""

    about: str
    tables: list[PublishedTable]


@cache
def papers() -> dict[str, Paper]:
    """Return every paper by its name."""
    folder = Path(__file__).parent
    return {name: msgspec.convert(read_yaml(folder / f"{name}.yaml"), Paper) for name in _FILES}


def tables(name: str) -> list[PublishedTable]:
    """Return a table by its name, or all of a paper.

    Raises:
        RequestError: If there is none of that name.
    """
    known = {table.name: [table] for table in every_table()}
    known |= {paper: content.tables for paper, content in papers().items()}
    if name not in known:
        raise unknown_name("published table", name, known)
    return known[name]


def every_table() -> Iterator[PublishedTable]:
    """Yield all tables, paper by paper."""
    for paper in papers().values():
        yield from paper.tables
