"""``bench export``: every result as one file."""

import sys
from pathlib import Path
from typing import Literal

import click

from bench.commands._options import choice_option
from bench.commands._skipped import tell_skipped


@click.command()
@click.option("--format", "format_", default="csv", help="csv (default), parquet, md or latex.")
@click.option(
    "--table",
    default="main",
    help="main (default): scores and differences; objectives: those of several objectives beside "
    "each other; selection: what validation data chose of; classes: scores of classes seen and "
    "unseen in training; provenance: what made the runs.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File, or - for standard output; default: results.FORMAT.",
)
@click.option(
    "--less",
    default="",
    metavar="WORDS",
    help="With --table objectives, the row that all others are compared with, by words that only "
    "its name has, such as ema=false, or by all of it. Default: cross-entropy, else the unadapted "
    "model.",
)
@choice_option
def command(
    format_: str, table: str, out: Path | None, less: str, settings: Literal["once", "per-n"]
) -> None:
    """Write a table of everything that has run.

    A record that cannot be read is named and left out; the exit code is then 3.
    """
    from bench.core.paths import Home
    from results.tables import export, exported

    home, target = Home.from_environment(), out or Path(f"results.{format_}")
    if target == Path("-"):
        content, collected = exported(home, format_, settings, table, less)
        click.echo(content, nl=False)
    else:
        collected = export(home, format_, target, settings, table, less)
    if collected.database != home.database:
        note = f"{home.root} cannot be written to, so its database was built in a temporary folder"
        click.echo(note, err=True)
    if target != Path("-"):
        click.echo(f"{target}")
    sys.exit(tell_skipped(collected.skipped))
