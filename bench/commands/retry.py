"""``bench retry``: resubmit a study's failed runs."""

from typing import Any

import click

from bench.commands._options import study_options


@click.command()
@click.argument("study")
@click.option("--failed", is_flag=True, help="Only failed runs, not those that never started.")
@study_options(executor="as before", parallel="as before")
def command(study: str, failed: bool, wait: bool, **options: Any) -> None:  # noqa: ANN401
    """Resubmit a study's failed and missing runs.

    Options that are not given are as before. A study that is on hold goes on. Runs that ask for
    more images than there are are skipped, unless downloads are tried again.
    """
    from bench.commands._launch import launch_options, launch_study, say_skipped
    from bench.commands._study import study_named
    from bench.core.paths import Home
    from bench.core.records import TOO_FEW_IMAGES
    from bench.storage.run_folder import read_spec
    from slurm.status import status_of

    home = Home.from_environment()
    folder = study_named(home, study)
    submitted = folder.submitted()
    launch = launch_options(**options, wait=wait, before=submitted)
    states = {"failed"} | (set() if failed else {"to do"})
    states |= {TOO_FEW_IMAGES} if launch.retry_failed else set()
    rows = status_of(folder).rows
    run_ids = [row.run_id for row in rows if row.state in states]
    if not launch.retry_failed:
        say_skipped(sum(row.state == TOO_FEW_IMAGES for row in rows))
    if not run_ids:
        click.echo("no run failed" if failed else "nothing is missing: every run is done or queued")
        return
    specs = [read_spec(home, run_id) for run_id in run_ids]
    launch_study(specs, submitted.runs, folder, launch, wait=wait)
