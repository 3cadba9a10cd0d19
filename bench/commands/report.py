"""``bench report``: plots, tables and one page from the database."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bench.commands._options import choice_option
from bench.commands._skipped import tell_skipped

if TYPE_CHECKING:
    from results.report.page import ReportPaths

_SECONDS = 30
"""Between two reports: a run of a miniature study takes as long."""


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder; default: the home's report.",
)
@click.option(
    "--watch",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=_SECONDS,
    metavar="[SECONDS]",
    help="Write it anew every so many seconds, 30 unless given, until the home's studies have "
    "ended; an open page loads itself again.",
)
@choice_option
def command(out: Path | None, watch: int | None, settings: Literal["once", "per-n"]) -> None:
    """Write the report of everything that has run.

    A record that cannot be read is named and left out; the exit code is then 3.
    """
    from bench.core.paths import Home
    from results.report.page import write_report

    home = Home.from_environment()
    folder = out or home.report
    paths = write_report(home, folder, settings, watch)
    if paths.database != home.database:
        click.echo(f"database: {paths.database}, as {home.root} cannot be written to")
    click.echo(f"report: {paths.html}")
    if watch is not None:
        # Ctrl-C is how watching ends before the studies do.
        with suppress(KeyboardInterrupt):
            while paths.waiting:
                click.echo(f"{_state(paths)}; again in {watch} s, Ctrl-C ends it", err=True)
                time.sleep(watch)
                paths = write_report(home, folder, settings, watch)
        # An open page need not load itself again.
        paths = write_report(home, folder, settings)
        click.echo(_state(paths), err=True)
    sys.exit(tell_skipped(paths.collected.skipped))


def _state(paths: "ReportPaths") -> str:
    return f"{paths.collected.read} records, {paths.waiting} runs to come"
