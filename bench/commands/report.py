"""``bench report``: plots, tables and one page from the database."""

from pathlib import Path
from typing import Literal

import click

from bench.commands._options import choice_option


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder; default: the home's report.",
)
@choice_option
def command(out: Path | None, settings: Literal["once", "per-n"]) -> None:
    """Write the report of everything that has run."""
    from bench.core.paths import Home
    from results.report.page import write_report

    home = Home.from_environment()
    paths = write_report(home, out or home.report, settings)
    if paths.database != home.database:
        click.echo(f"database: {paths.database}, as {home.root} cannot be written to")
    click.echo(f"report: {paths.html}")
