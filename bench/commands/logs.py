"""``bench logs``: what a run said."""

import click


@click.command()
@click.argument("run")
@click.option(
    "--lines", type=click.IntRange(min=1), default=200, show_default=True, help="The last so many."
)
def command(run: str, lines: int) -> None:
    """Print the end of a run's log; a few first signs of its id are enough."""
    from collections import deque

    from bench.core.errors import BenchError, RequestError, unknown_name
    from bench.core.paths import Home
    from slurm.work import logs_of

    home = Home.from_environment()
    folders = home.runs.iterdir() if home.runs.is_dir() else ()
    ids = sorted(path.name for path in folders)
    found = [run_id for run_id in ids if run_id.startswith(run)]
    if not found:
        raise unknown_name("run", run, ids)
    if len(found) > 1:
        raise RequestError(f"{len(found)} runs begin with {run!r}", "give more of the run's id")
    logs = logs_of(home, found[0])
    if not logs:
        raise BenchError(
            f"run {found[0]} has no log", "no job has begun with it; a terminal keeps none"
        )
    for path in logs:
        with path.open(errors="replace") as stream:
            click.echo("".join(deque(stream, maxlen=lines)), nl=False)
        click.echo(f"log: {path}", err=True)
