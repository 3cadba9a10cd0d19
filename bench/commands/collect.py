"""``bench collect``: every record into one DuckDB file."""

import click


@click.command()
def command() -> None:
    """Rebuild the database from the records."""
    from bench.core.paths import Home
    from results.database.store import collect

    home = Home.from_environment()
    collected = collect(home)
    for reason in collected.skipped:
        click.echo(f"skipped {reason}", err=True)
    click.echo(f"{collected.read} records in {home.database}")
