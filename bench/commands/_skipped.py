"""Files that were left out of the results: named, and told by the exit code."""

from collections.abc import Sequence

import click

from bench.core.terminal import escaped

_NAMED = 20
"""Files that are named on a terminal."""

NOT_EVERYTHING = 3
"""The exit code of a command that is done, but not with every record there is."""


def tell_skipped(skipped: Sequence[str]) -> int:
    """Name the files that were left out, on standard error, and return the exit code.

    Args:
        skipped: A line per file (`results.database.store.Collected`).

    Returns:
        `NOT_EVERYTHING`, or 0 if nothing was left out.
    """
    for reason in skipped[:_NAMED]:
        click.echo(f"skipped {escaped(reason)}", err=True)
    if len(skipped) > _NAMED:
        more = len(skipped) - _NAMED
        click.echo(f"skipped {more} more; `bench report` names all", err=True)
    return NOT_EVERYTHING if skipped else 0
