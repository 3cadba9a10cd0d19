"""``bench doctor``: check this installation, and say what to do about each finding."""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from bench.commands import _doctor_data, _doctor_machine

if TYPE_CHECKING:
    from bench.commands._finding import Finding

CHECKS: "dict[str, Callable[[], Iterator[Finding]]]" = {
    "package": _doctor_machine.packages,
    "layout": _doctor_machine.layout,
    "home": _doctor_machine.home,
    "database": _doctor_machine.database,
    "device": _doctor_machine.device,
    "slurm": _doctor_machine.slurm,
    "token": _doctor_machine.token,
    "weights": _doctor_data.weights,
    "task": _doctor_data.tasks,
    "pool": _doctor_data.pools,
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
def command(as_json: bool) -> None:
    """Check packages, home folder, database, Slurm, device, models, tasks and pools.

    A note is of something that is not here and that some commands need; only FAIL is a fault, and
    makes the exit code 1. No network is used.
    """
    from bench.commands._finding import State
    from bench.core.json_values import readable_json
    from bench.core.terminal import escaped

    found = []
    for label, check in CHECKS.items():
        for finding in check():
            found.append((label, finding))
            if not as_json:
                click.echo(f"{finding.state:<4}  {label:<8} {escaped(finding.line)}")
    if as_json:
        rows = [{"about": label, **finding._asdict()} for label, finding in found]
        click.echo(readable_json(rows))
    sys.exit(any(finding.state is State.FAIL for _, finding in found))
