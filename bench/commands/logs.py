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

    from bench.core.errors import BenchError
    from bench.core.paths import Home
    from bench.core.terminal import escaped
    from bench.storage.run_folder import find_run
    from slurm.logs import logs_of

    home = Home.from_environment()
    run_id = find_run(home, run)
    logs = logs_of(home, run_id)
    if not logs:
        raise BenchError(
            f"run {run_id} has no log",
            "only local workers and Slurm jobs write one, when they start the run",
        )
    for path in logs:
        with path.open(errors="replace") as stream:
            click.echo(escaped("".join(deque(stream, maxlen=lines))), nl=False)
        click.echo(f"log: {path}", err=True)
