"""Questions that people put to the database themselves, in SQL; nothing outside it is reached."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import yaml

from bench.core.errors import RequestError
from results.database.statements import statement

if TYPE_CHECKING:
    from results.database.store import Connection

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    # No other file is read or written, no database attached, no extension loaded.
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "lock_configuration": True,
}


class Answer(NamedTuple):
    """The rows of an answer, with the names of their columns."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


class Column(NamedTuple):
    """A column of a table that people may ask for: its type, and what it means."""

    name: str
    type: str
    meaning: str


class Described(NamedTuple):
    """A table that people may ask for."""

    name: str
    meaning: str
    columns: list[Column]


def ask(database: Path, sql: str) -> Answer:
    """Return what the database answers.

    Args:
        database: The file; it is opened for reading.
        sql: A query. Files, other databases, extensions and settings are out of its reach.

    Raises:
        RequestError: If the database cannot answer it.
    """
    with duckdb.connect(database, read_only=True, config=_LOCKED) as connection:
        try:
            statements = len(connection.extract_statements(sql))
            if statements != 1:
                raise RequestError(
                    f"there are {statements} questions" if statements else "there is no question",
                    'ask one: `bench query "SELECT …"`',
                )
            result = connection.execute(sql)
            return Answer([name for name, *_ in result.description or []], result.fetchall())
        except (duckdb.Error, ValueError, RuntimeError) as error:
            what = str(error).partition("\n\nLINE ")[0]
            raise RequestError(
                what, "a question only reads the tables that `bench query --tables` names"
            ) from error


def tables(connection: Connection) -> list[Described]:
    """Return the tables that people may ask for, with what they and their columns mean."""
    tables, known = (meanings()[part] for part in ("tables", "columns"))
    columns: dict[str, list[Column]] = {}
    for table, column, kind in connection.execute(statement("columns")).fetchall():
        meaning = known.get(f"{table}.{column}", known.get(column, ""))
        columns.setdefault(table, []).append(Column(column, kind, meaning))
    return [Described(name, meaning, columns[name]) for name, meaning in tables.items()]


@cache
def meanings() -> dict[str, dict[str, str]]:
    """Return what ``tables`` and ``columns`` mean, by their names; TABLE.COLUMN is of one table."""
    text = Path(__file__).with_name("meanings.yaml").read_text("utf-8")
    parsed: dict[str, dict[str, str]] = yaml.safe_load(text)
    return parsed
