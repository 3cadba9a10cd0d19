"""Tables as files: for reading, or as plain numbers."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bench.core.errors import BenchError, RequestError, unknown_name
from bench.core.files import write_atomic
from bench.core.paths import Home
from results import pairs
from results.database import queries, store
from results.objectives import objectives
from results.tables import evidence
from results.tables.formats import as_latex_file, as_markdown_file
from results.tables.objectives import narrow, numbers, sheet
from results.tables.of_classes import of_classes
from results.tables.scores import Table, readable
from results.tables.sheet import Kind, Sheet, one_line

if TYPE_CHECKING:
    from results.database.store import Choice, Connection

FORMATS = ("csv", "latex", "md", "parquet")
TABLES = ("main", "objectives", "selection", "classes", "provenance")


_NOTHING = {
    "main": ("no finished run has test scores", "look at `bench report` for failures"),
    "objectives": (
        "no network was adapted to a task with several objectives",
        "leave out --table objectives, or run another objective",
    ),
    "classes": ("every finished run had images of all classes", "there is nothing apart to show"),
}
"""Why a table is empty, and what to do about it."""


class _Content(NamedTuple):
    """What a file may hold: plain numbers, or one of two ways of reading them."""

    numbers: list[pd.DataFrame]
    wide: list[Sheet]
    """For Markdown, whose lines may be long."""
    narrow: list[Sheet]
    """For paper."""


def export(
    home: Home,
    format_: str,
    out: Path,
    settings: Choice = "once",
    table: str = "main",
    less: str = "",
) -> store.Collected:
    """Write every experiment's table to one file; arguments are those of `exported`.

    Returns:
        What was collected.

    Raises:
        BenchError: If there is nothing to export.
        RequestError: If the format or the table is unknown, or there is no folder for the file.
    """
    if not out.parent.is_dir():
        raise RequestError(f"there is no folder {out.parent} for {out.name}", "make it first")
    content, collected = exported(home, format_, settings, table, less)
    write_atomic(out, content)
    return collected


def exported(
    home: Home, format_: str, settings: Choice, table: str, less: str = ""
) -> tuple[bytes, store.Collected]:
    """Return every experiment's table as the bytes of one file.

    Where the home cannot be written to, its database is built in a temporary folder.

    Args:
        home: Where the records are.
        format_: ``csv`` and ``parquet`` hold plain numbers, one row per score; ``md`` and ``latex``
            are for reading.
        settings: How often the setting of an arm is chosen.
        table: ``main`` has scores and differences, ``objectives`` those of several objectives
            beside each other, ``selection`` what validation data chose of, ``classes`` scores apart
            for classes seen and unseen in training, ``provenance`` what made the runs.
        less: Words of the name of the row of ``objectives`` that all others are compared with.

    Returns:
        The bytes, and what was collected.

    Raises:
        BenchError: If there is nothing to export.
        RequestError: If the format or the table is unknown, or the words are of no row or several.
    """
    if less and table != "objectives":
        raise RequestError(
            "--less is of the table of objectives", "add --table objectives, or leave it out"
        )
    for kind, name, names in (("format", format_, FORMATS), ("table", table, TABLES)):
        if name not in names:
            raise unknown_name(kind, name, names)
    with tempfile.TemporaryDirectory() as spare:
        collected = store.collect(home, settings, Path(spare))
        with collected.reading() as connection:
            content = _content(connection, table, less)
    if all(frame.empty for frame in content.numbers):
        raise BenchError(*_NOTHING.get(table, _NOTHING["main"]))
    return _written(content, format_), collected


def render(tables: Sequence[Table], format_: str) -> bytes:
    """Return the main tables of experiments as the bytes of one file."""
    return _written(_main(tables), format_)


def _content(connection: Connection, table: str, less: str) -> _Content:
    if table == "provenance":
        frame, shown = evidence.provenance(connection)
        return _Content([frame], [shown], [shown])
    if table == "objectives":
        known = list(objectives(connection, less=less))
        if less and known and not any(one.has(less) for one in known):
            names = dict.fromkeys(row.name for one in known for row in one.rows)
            raise RequestError(f"no row is called {less!r}", f"there are: {'; '.join(names)}")
        for_paper = [part for one in known for part in narrow(one)]
        return _Content([numbers(known)], [sheet(one) for one in known], for_paper)
    experiments = queries.experiments(connection)
    if table in _OF_EXPERIMENTS:
        both = [_OF_EXPERIMENTS[table](connection, experiment) for experiment in experiments]
        both = [one for one in both if not one[0].empty] or both
        frames, sheets = [one for one, _ in both], [one for _, one in both]
        return _Content(frames, sheets, sheets)
    return _main([Table.of(connection, experiment) for experiment in experiments])


_OF_EXPERIMENTS = {"selection": evidence.selection, "classes": of_classes}
"""Tables of which each experiment has one, by what they are asked for by."""


def _main(tables: Sequence[Table]) -> _Content:
    tables = [table for table in tables if not table.means.empty] or tables
    return _Content(
        [table.numbers for table in tables],
        [one for table in tables for one in _wide(table)],
        [one for table in tables for one in table.sheets()],
    )


def _wide(table: Table) -> list[Sheet]:
    """Return an experiment's scores, a column an evaluator, and the differences between arms."""
    scores = _as_is(readable(table.means, other_epochs=True))
    shown = [scores._replace(title=one_line(table.title), note=table.legend)]
    if not table.differences.empty:
        shown.append(_as_is(pairs.readable(table.differences)))
    return shown


def _as_is(frame: pd.DataFrame) -> Sheet:
    columns: list[tuple[str, Kind]] = [(str(name), "text") for name in frame.columns]
    return Sheet.of("", columns, frame.to_numpy(object).tolist())


def _written(content: _Content, format_: str) -> bytes:
    if format_ == "md":
        return as_markdown_file(content.wide).encode()
    if format_ == "latex":
        return as_latex_file(content.narrow).encode()
    frame = pd.concat(content.numbers)
    if format_ == "csv":
        return frame.to_csv(index=False).encode()
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()
