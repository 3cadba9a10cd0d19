"""``bench cancel``: a study's jobs."""

import click


@click.command()
@click.argument("study")
def command(study: str) -> None:
    """Cancel a study's jobs and start no further run; records and checkpoints are kept."""
    from bench.commands._study import study_named
    from bench.core.paths import Home
    from bench.storage.study_folder import Hold
    from slurm.live import live_jobs
    from slurm.queue import cancel, queue

    folder = study_named(Home.from_environment(), study)
    with folder.submitting():
        folder.pause(Hold(reason="it was cancelled", by="user"))
        jobs = live_jobs(folder, queue()) if folder.arrays() else {}
        cancel(sorted({job.split("_")[0] for job in jobs}))
    click.echo(f"{len(jobs)} jobs cancelled; `bench retry {study}` or the same sweep goes on")
    if folder.submitted().on != "slurm":
        click.echo("runs that processes of this machine are at will end first")
