"""``bench retry``: what failed of a study, once more."""

from typing import Any

import click

from bench.commands._options import job_options


@click.command()
@click.argument("study")
@click.option("--failed", is_flag=True, help="Only runs that failed, none that were never started.")
@job_options("as before")
def command(study: str, failed: bool, wait: bool, **options: Any) -> None:  # noqa: ANN401
    """Start what is missing of a study again, on hold or not, as it was submitted before."""
    from bench.commands._jobs import execute, how
    from bench.commands._study import study_named
    from bench.core.paths import Home
    from bench.storage.run_folder import read_spec
    from slurm.status import status_of

    home = Home.from_environment()
    folder = study_named(home, study)
    submitted = folder.submitted()
    way = how(**options, before=submitted)
    wanted = ("failed",) if failed else ("failed", "to do")
    chosen = [row.run_id for row in status_of(folder).rows if row.state in wanted]
    if not chosen:
        click.echo("nothing failed" if failed else "nothing is missing that is not under way")
        return
    specs = [read_spec(home, run_id) for run_id in chosen]
    execute(specs, submitted.runs, folder, way, wait=wait)
