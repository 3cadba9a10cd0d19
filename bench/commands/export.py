"""``bench export``: every result as one file."""

from pathlib import Path

import click


@click.command()
@click.option("--format", "format_", default="csv", help="csv (default), parquet, md or latex.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File; default: results.FORMAT."
)
def command(format_: str, out: Path | None) -> None:
    """Write the results table of everything that has run."""
    from bench.core.paths import Home
    from results.tables import export

    target = out or Path(f"results.{format_}")
    export(Home.from_environment(), format_, target)
    click.echo(f"{target}")
