"""``bench retry``: resubmit a study's failed runs, and release its held jobs."""

from typing import TYPE_CHECKING, Any

import click

from bench.commands._options import study_options

if TYPE_CHECKING:
    from slurm.revive import Revived


@click.command()
@click.argument("study")
@click.option("--failed", is_flag=True, help="Only failed runs, not those that never started.")
@study_options(executor="as before", parallel="as before")
def command(study: str, failed: bool, wait: bool, **options: Any) -> None:  # noqa: ANN401
    """Resubmit a study's failed and missing runs, and release its jobs that Slurm holds.

    Options that are not given are as before. A study that is on hold goes on. Runs that ask for
    more images than there are are skipped, unless downloads are tried again. Jobs that can never
    start, and those that wait for them, are cancelled and submitted anew.

    STUDY is the name of a study or its file.
    """
    from bench.commands._launch import launch_options, launch_study, say_skipped
    from bench.commands._study import study_named
    from bench.core.paths import Home
    from bench.core.records import TOO_FEW_IMAGES
    from bench.storage.run_folder import read_spec
    from slurm.revive import revive
    from slurm.status import status_of

    home = Home.from_environment()
    folder = study_named(home, study)
    submitted = folder.submitted()
    launch = launch_options(**options, wait=wait, before=submitted)
    revived = revive(folder) if launch.on == "slurm" and folder.arrays() else None
    states = {"failed"} | (set() if failed else {"to do"})
    states |= {TOO_FEW_IMAGES} if launch.retry_failed else set()
    rows = status_of(folder).rows
    anew = revived.runs if revived else set()
    run_ids = [row.run_id for row in rows if row.state in states or row.run_id in anew]
    if not launch.retry_failed:
        say_skipped(sum(row.state == TOO_FEW_IMAGES for row in rows))
    if revived:
        _say(revived)
    if run_ids or (revived and revived.released and wait):
        specs = [read_spec(home, run_id) for run_id in run_ids]
        launch_study(specs, submitted.runs, folder, launch, wait=wait)
    elif not (revived and (revived.released or revived.refused or revived.cancelled)):
        click.echo("no run failed" if failed else "nothing is missing: every run is done or queued")
    if revived:
        _require_release(revived)


def _say(revived: "Revived") -> None:
    """Say what became of jobs that did not start by themselves."""
    if revived.released:
        click.echo(f"released: {_count(revived.released)} that Slurm held")
    if revived.cancelled:
        jobs = _count(revived.cancelled)
        click.echo(f"cancelled: {jobs} that could never start, or waited for such")


def _require_release(revived: "Revived") -> None:
    """Make sure that no job is held any more.

    Raises:
        BenchError: If one is.
    """
    from bench.core.errors import BenchError

    if revived.refused:
        why = f": {revived.why}" if revived.why else ""
        raise BenchError(
            f"Slurm still holds {_count(revived.refused)}, {revived.refused[0]} first{why}",
            "ask the site's administrators, or `bench cancel` the study and retry it",
        )


def _count(jobs: list[str]) -> str:
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
