"""``bench demo``: the study in miniature, end to end, offline."""

from pathlib import Path

import click

STUDY = Path(__file__).parents[2] / "studies" / "demo.yaml"


@click.command()
def command() -> None:
    """Run a miniature study of cars, a few minutes, and print what it found."""
    from bench.errors import BenchError
    from bench.paths import Home
    from bench.run import pinned_all
    from bench.studies import StudyFolder
    from bench.sweep import expand, load_study
    from results.queries import Experiment
    from results.report import write_report
    from results.summary import summary
    from slurm.launch import How, launch, usual_executor
    from slurm.status import status_of
    from slurm.work import titles

    home = Home.from_environment()
    specs = pinned_all(expand(load_study(STUDY)), home)
    home.make_writable()
    study = StudyFolder(home, "demo")
    launch(specs, titles(specs), study, How(usual_executor(home)))
    report = write_report(home, home.report)
    experiment = Experiment.of(specs[0])
    advice = f"read why in {report.html}, then run `bench demo` again"
    if experiment not in report.plots:
        raise BenchError(f"none of the {len(specs)} runs finished", advice)
    click.echo(summary(home, [experiment]))
    click.echo(f"plot:     {report.plots[experiment][0]}")
    click.echo(f"database: {home.database}")
    click.echo(f"report:   {report.html}")
    failed = [row.run_id for row in status_of(study).rows if row.state != "done"]
    if failed:
        raise BenchError(f"{len(failed)} of {len(specs)} runs failed: {', '.join(failed)}", advice)
