"""``bench collect``: every record into one DuckDB file."""

from typing import Literal

import click

from bench.commands._options import choice_option


@click.command()
@choice_option
def command(settings: Literal["once", "per-n"]) -> None:
    """Rebuild the database from the records."""
    from bench.core.paths import Home
    from results.database.store import collect

    home = Home.from_environment()
    collected = collect(home, settings)
    for reason in collected.skipped:
        click.echo(f"skipped {reason}", err=True)
    click.echo(f"{collected.read} records in {home.database}")
