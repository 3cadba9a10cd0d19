"""``bench compare``: two arms or two runs side by side."""

import sys
from typing import TYPE_CHECKING, Literal

import click

from bench.commands._options import choice_option
from bench.commands._skipped import tell_skipped

if TYPE_CHECKING:
    from bench.core.paths import Home
    from bench.core.records import RunRecord
    from results.comparisons.comparison import Comparison


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
    the options that differ. A record that cannot be read is named and left out; the exit code is
    then 3.
    """
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from bench.core.terminal import columns
    from results.comparisons.comparison import sheets
    from results.comparisons.found import compared
    from results.tables.formats import written
    from results.wording import WIDTH

    asked = {"task": task, "preset": preset, "objective": objective}
    wanted = {name: value for name, value in asked.items() if value is not None}
    home = Home.from_environment()
    found = compared(home, a, b, wanted, settings)
    comparisons = found.comparisons or [_of_runs(home, a, b, found.labels)]
    if as_json:
        click.echo(readable_json({"comparisons": comparisons}).decode(), nl=False)
    else:
        shown = [sheet for comparison in comparisons for sheet in sheets(comparison)]
        click.echo(written(shown, "text", columns(elsewhere=WIDTH)), nl=False)
    sys.exit(tell_skipped(found.skipped))


def _of_runs(home: "Home", a: str, b: str, labels: list[str]) -> "Comparison":
    from bench.core.errors import RequestError
    from results.comparisons.runs import compare_runs

    first, second = (_record(home, name, labels) for name in (a, b))
    if first.run_id == second.run_id:
        raise RequestError(f"{a} and {b} are one run", "name two")
    return compare_runs(home, (first, second))


def _record(home: "Home", name: str, labels: list[str]) -> "RunRecord":
    """Return the record of a run whose id begins so; an unknown name is most likely an arm's."""
    from bench.core.errors import RequestError, unknown_name
    from bench.storage.run_folder import find_run, read_record

    if not any(path.name.startswith(name) for path in home.runs.iterdir()):
        raise unknown_name("arm or run", name, labels)
    run_id = find_run(home, name)
    if record := read_record(home, run_id):
        return record
    raise RequestError(f"run {run_id} has no record that can be read", "see `bench status`")
