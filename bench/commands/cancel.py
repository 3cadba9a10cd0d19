"""``bench cancel``: cancel a study's jobs."""

import click


@click.command()
@click.argument("study")
def command(study: str) -> None:
    """Cancel a study's jobs and put it on hold. Keeps records and checkpoints.

    STUDY is the name of a study or its file.
    """
    from bench.commands._study import study_named
    from bench.core.paths import Home
    from bench.storage.study_folder import Hold
    from slurm.queue import cancel, live_jobs, queue

    folder = study_named(Home.from_environment(), study)
    with folder.submitting():
        folder.pause(Hold(reason="cancelled", by="user"))
        jobs = live_jobs(folder, queue()) if folder.arrays() else {}
        cancel(sorted({job.split("_")[0] for job in jobs}))
    click.echo(f"{len(jobs)} jobs cancelled; continue with `bench retry {study}` or the same sweep")
    if folder.submitted().on != "slurm":
        click.echo("runs that are executing on this machine continue to their end")
