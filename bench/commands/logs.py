"""``bench logs``: print a run's log."""

import click


@click.command()
@click.argument("run")
@click.option(
    "--lines", type=click.IntRange(min=1), default=200, show_default=True, help="Lines to print."
)
def command(run: str, lines: int) -> None:
    """Print the end of a run's log. RUN is its id, or the beginning of it."""
    from collections import deque

    from bench.core.errors import BenchError, RequestError, unknown_name
    from bench.core.paths import Home
    from bench.core.terminal import escaped
    from slurm.logs import logs_of

    home = Home.from_environment()
    folders = home.runs.iterdir() if home.runs.is_dir() else ()
    ids = sorted(path.name for path in folders)
    matches = [run_id for run_id in ids if run_id.startswith(run)]
    if not matches:
        raise unknown_name("run", run, ids)
    if len(matches) > 1:
        raise RequestError(f"{len(matches)} runs begin with {run!r}", "give more of the run's id")
    logs = logs_of(home, matches[0])
    if not logs:
        raise BenchError(
            f"run {matches[0]} has no log",
            "only local workers and Slurm jobs write one, when they start the run",
        )
    for path in logs:
        with path.open(errors="replace") as stream:
            click.echo(escaped("".join(deque(stream, maxlen=lines))), nl=False)
        click.echo(f"log: {path}", err=True)
