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

    from bench.errors import BenchError, RequestError, unknown_name
    from bench.paths import Home
    from slurm.work import log_of

    home = Home.from_environment()
    folders = home.runs.iterdir() if home.runs.is_dir() else ()
    ids = sorted(path.name for path in folders)
    found = [run_id for run_id in ids if run_id.startswith(run)]
    if not found:
        raise unknown_name("run", run, ids)
    if len(found) > 1:
        raise RequestError(f"{len(found)} runs begin with {run!r}", "give more of the run's id")
    path = log_of(home, found[0])
    if not path.is_file():
        raise BenchError(
            f"run {found[0]} has no log", "it was not started by a job, but in a terminal"
        )
    with path.open(errors="replace") as stream:
        click.echo("".join(deque(stream, maxlen=lines)), nl=False)
    click.echo(f"log: {path}", err=True)
