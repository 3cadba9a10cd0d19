"""``bench compare``: two arms or two runs side by side."""

import sys
from typing import Literal

import click

from bench.commands._options import choice_option
from bench.commands._skipped import tell_skipped


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--task", help="Compare on this task alone.  [default: every task]")
@click.option("--preset", help="Compare runs of this preset alone.  [default: every preset]")
@click.option(
    "--objective", help="Compare this training objective alone.  [default: every objective]"
)
@choice_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(  # noqa: PLR0913 (one per option)
    a: str,
    b: str,
    *,
    task: str | None,
    preset: str | None,
    objective: str | None,
    settings: Literal["once", "per-n"],
    as_json: bool,
) -> None:
    """Compare two arms, or two runs, on the same test images.

    A and B are arms as the tables call them, such as retrieved, synthetic or unadapted; or two
    runs, by their ids or the beginnings of them. Shown are the scores with their differences,
    95 % intervals and p-values, how many images of the one are worth how many of the other, and
    the options that differ.
    """
    from bench.commands._width import terminal_width
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from results.comparisons.comparison import sheets
    from results.comparisons.found import compared
    from results.tables.formats import written

    asked = {"task": task, "preset": preset, "objective": objective}
    wanted = {name: value for name, value in asked.items() if value is not None}
    found = compared(Home.from_environment(), a, b, wanted, settings)
    if as_json:
        click.echo(readable_json({"comparisons": found.comparisons}).decode(), nl=False)
    else:
        shown = [sheet for comparison in found.comparisons for sheet in sheets(comparison)]
        click.echo(written(shown, "text", terminal_width()), nl=False)
    sys.exit(tell_skipped(found.skipped))
