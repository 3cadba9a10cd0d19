"""``bench query``: a question in SQL to the database."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Literal

import click

from bench.commands._options import choice_option
from bench.commands._skipped import tell_skipped

if TYPE_CHECKING:
    from results.database.ask import Described


@click.command()
@click.argument("sql", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "md"]),
    default="table",
    help="How to print the answer: a table that fits the terminal (default), CSV, JSON, Markdown.",
)
@click.option("--tables", is_flag=True, help="List the tables, and what their columns mean.")
@choice_option
def command(sql: str | None, form: str, tables: bool, settings: Literal["once", "per-n"]) -> None:
    """Answer a question in SQL (DuckDB's) about everything that has run.

    The database is brought up to date first, and only read: a question reaches no file and changes
    nothing.

    \b
    Try:  bench query "SELECT task, label, n_used, mean FROM scaling ORDER BY ALL"
          bench query --tables
    """  # noqa: D301
    from bench.commands._rows import formatted, table
    from bench.core.errors import RequestError
    from bench.core.paths import Home
    from bench.core.terminal import columns
    from results.database import ask
    from results.database.store import collect

    if tables == (sql is not None):
        raise RequestError("ask one thing", 'write `bench query "SELECT …"` or --tables')
    collected = collect(Home.from_environment(), settings)
    width = columns()
    if sql is None:
        with collected.reading() as connection:
            described = ask.tables(connection)
        click.echo("\n\n".join(_described(each, width) for each in described))
    else:
        answer = ask.ask(collected.database, sql)
        limit = width if sys.stdout.isatty() else None
        click.echo(table(*answer, limit) if form == "table" else formatted(form, *answer))
    sys.exit(tell_skipped(collected.skipped))


def _described(described: Described, width: int) -> str:
    """Return what a table and its columns mean, wrapped to the width."""
    names = max(len(column.name) for column in described.columns)
    types = max(len(column.type) for column in described.columns)
    lines = textwrap.wrap(f"{described.name}: {described.meaning}", width)
    for name, kind, meaning in described.columns:
        start = f"  {name:<{names}}  {kind:<{types}}  "
        lines += textwrap.wrap(
            start + meaning, max(width, len(start) + 20), subsequent_indent=" " * len(start)
        )
    return "\n".join(lines)
