"""``bench demo``: the study in miniature, end to end, offline."""

from pathlib import Path

import click

STUDY = Path(__file__).parents[2] / "studies" / "demo.yaml"


@click.command()
def command() -> None:
    """Run a miniature study of cars, a few minutes, and print what it found."""
    from bench.errors import BenchError
    from bench.paths import Home
    from bench.progress import Progress
    from bench.run import pinned
    from bench.sweep import expand, load_study
    from results.queries import Experiment
    from results.report import write_report
    from results.summary import summary
    from slurm.submit import execute

    home = Home.from_environment()
    specs = [pinned(spec, home) for spec in expand(load_study(STUDY))]
    home.make_writable()
    statuses = execute(specs, home, Progress(), "debug", 1)
    report = write_report(home, home.report)
    experiment = Experiment.of(specs[0])
    advice = f"read why in {report.html}, then run `bench demo` again"
    if experiment not in report.plots:
        raise BenchError(f"none of the {len(specs)} runs finished", advice)
    click.echo(summary(home, [experiment]))
    click.echo(f"plot:     {report.plots[experiment][0]}")
    click.echo(f"database: {home.database}")
    click.echo(f"report:   {report.html}")
    failed = [run_id for run_id, status in statuses.items() if status != "done"]
    if failed:
        raise BenchError(f"{len(failed)} of {len(specs)} runs failed: {', '.join(failed)}", advice)
