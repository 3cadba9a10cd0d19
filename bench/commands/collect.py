"""``bench collect``: every record into one DuckDB file."""

import sys
from typing import Literal

import click

from bench.commands._options import choice_option
from bench.commands._skipped import tell_skipped


@click.command()
@choice_option
def command(settings: Literal["once", "per-n"]) -> None:
    """Bring the database up to date with the records.

    A record that cannot be read is named and left out; the exit code is then 3.
    """
    from bench.core.paths import Home
    from results.database.store import collect

    home = Home.from_environment()
    collected = collect(home, settings)
    click.echo(f"{collected.read} records in {home.database}")
    sys.exit(tell_skipped(collected.skipped))
