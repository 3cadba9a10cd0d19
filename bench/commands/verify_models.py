"""``bench verify-models``: compare unadapted models with what was published of them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bench.commands._finding import Finding
    from bench.core.json_values import Json
    from bench.steps.verify import Outcome


@click.command()
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="YAML file of figures of your own (docs/models.md).  [default: the published ones]",
)
@click.option("--json", "as_json", is_flag=True, help="Print outcomes as JSON.")
def command(figures: Path | None, as_json: bool) -> None:
    """Measure unadapted models on test splits, and compare with published figures.

    A figure whose weights or task are not here is named and left out. The exit code is 1 if a value
    is off by more than its tolerance or could not be measured, and 2 if nothing is here.
    """
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from bench.core.terminal import escaped
    from bench.steps.figures import PUBLISHED, read_figures
    from bench.steps.verify import verify

    outcomes = []
    for outcome in verify(read_figures(figures or PUBLISHED), Home.from_environment()):
        outcomes.append(outcome)
        if not as_json:
            finding = _finding(outcome)
            click.echo(f"{finding.state:<4}  {escaped(finding.line)}")
    if as_json:
        click.echo(readable_json([_fields(each) for each in outcomes]))
    else:
        agreeing = sum(outcome.agrees for outcome in outcomes)
        measured = sum(not outcome.absent for outcome in outcomes)
        click.echo(f"{agreeing} of {measured} figures agree; {len(outcomes) - measured} left out")
    sys.exit(any(not (outcome.agrees or outcome.absent) for outcome in outcomes))


def _finding(outcome: "Outcome") -> "Finding":
    """Return how an outcome counts, and what to do about it."""
    from bench.commands._finding import fail, note, ok

    figure = outcome.figure
    what = f"{figure.model} on {figure.task}, {figure.evaluator}, {figure.metric}"
    if outcome.percent is None:
        return (note if outcome.absent else fail)(f"{what}: {outcome.why_not}", outcome.fix)
    line = (
        f"{what}: {outcome.percent:.2f} %, published {figure.percent:.2f} "
        f"(within {figure.tolerance:g}; {figure.source})"
    )
    if outcome.agrees:
        return ok(line)
    return fail(line, "compare weights, preprocessing, prompts and labels with the publication's")


def _fields(outcome: "Outcome") -> "Json":
    import msgspec

    found = {**_finding(outcome)._asdict(), "measured": outcome.percent}
    return {**msgspec.to_builtins(outcome.figure), **found}
