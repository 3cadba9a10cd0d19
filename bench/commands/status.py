"""``bench status``: show the state of a study's runs."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from slurm.status import Row


@click.command()
@click.argument("study", required=False)
@click.option("--all", "everything", is_flag=True, help="Include runs that are done.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(study: str | None, everything: bool, as_json: bool) -> None:
    """Show the state of a study's runs in one table.

    STUDY is the name of a study or its file. Without it, list the studies.
    """
    import msgspec

    from bench.commands._study import study_named
    from bench.core.paths import Home
    from bench.storage.study_folder import names
    from slurm.status import STATES, status_of

    home = Home.from_environment()
    if study is None:
        click.echo("\n".join(names(home)) or "no study was started in this home")
        return
    status = status_of(study_named(home, study))
    if as_json:
        click.echo(msgspec.json.encode(status).decode())
        return
    counts = {state: sum(row.state == state for row in status.rows) for state in STATES}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    click.echo(f"{study}: {len(status.rows)} runs; {summary}")
    if status.queue_error:
        click.echo(f"Slurm's queue is unknown: {status.queue_error}")
    if status.hold:
        click.echo(f"on hold: {status.hold}")
    for title, (running, waiting) in status.stages.items():
        click.echo(f"{title}: {running} running, {waiting} waiting")
    for group in status.waiting:
        click.echo(group.sentence)
    shown = [row for row in status.rows if everything or row.state != "done"]
    if shown:
        click.echo(_table(shown))


def _table(rows: "list[Row]") -> str:
    """Return a line per run, those that need looking after first."""
    from slurm.status import STATES

    width = max(len(row.title) for row in rows)
    state_width = max(len(row.state) for row in rows)
    lines = []
    for row in sorted(rows, key=lambda row: STATES.index(row.state)):
        note = f"{row.note} (job {row.job})".lstrip() if row.job else row.note
        line = f"{row.run_id}  {row.state:<{state_width}}  {row.title:<{width}}  {note}"
        lines.append(line.rstrip())
    return "\n".join(lines)
