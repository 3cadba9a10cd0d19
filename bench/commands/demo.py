"""``bench demo``: execute a miniature study, end to end, offline."""

import shutil
import sys
from pathlib import Path

import click

_ROOT = Path(__file__).parents[2]

STUDY = _ROOT / "studies" / "demo.yaml"

# The demo has made the images that the second one trains on.
_NEXT = (
    ("show mini", "the settings behind these numbers"),
    ("run --preset mini --source retrieved --task aircraft --n 500", "another run, in seconds"),
)


@click.command()
def command() -> None:
    """Run a miniature study, a few minutes, and print its result."""
    from bench.core.errors import BenchError
    from bench.core.paths import Home
    from bench.planning.study import expand, load_study
    from bench.steps.prepare import all_with_fingerprints
    from bench.storage.study_folder import StudyFolder
    from results.database import queries, store
    from results.experiment import Experiment
    from results.report.page import write_report
    from results.summary import summary
    from slurm.launch import LaunchOptions, default_executor, launch
    from slurm.live_table import live_table
    from slurm.naming import titles
    from slurm.status import status_of

    home = Home.from_environment()
    specs = all_with_fingerprints(expand(load_study(STUDY)), home)
    home.make_writable()
    study = StudyFolder(home, "demo")
    with live_table(specs, titles(specs), home):
        launch(specs, titles(specs), study, LaunchOptions(default_executor(home)))
    report = write_report(home, home.report)
    with store.reading(home) as connection:
        task = queries.task_name(connection, specs[0].task)
    experiment = Experiment.of(specs[0])._replace(task=task)
    advice = f"read why in {_near(report.html)}, then run `{_program()} demo` again"
    if experiment not in report.plots:
        raise BenchError(f"none of the {len(specs)} runs finished", advice)
    # With so few seeds, the other conclusions depend on rounding: they are in the report only.
    click.echo(summary(home, [experiment], brief=True))
    click.echo(f"plot:     {_near(report.plots[experiment][0])}")
    click.echo(f"database: {_near(home.database)}")
    click.echo(f"report:   {_near(report.html)}")
    failed = [row.run_id for row in status_of(study).rows if row.state != "done"]
    if failed:
        raise BenchError(f"{len(failed)} of {len(specs)} runs failed: {', '.join(failed)}", advice)
    click.echo("\n".join(["", *_next(report.html)]))


def _next(report: Path) -> list[str]:
    """Return the lines that name what to look at next."""
    lines = [
        (str(_near(report)), "open it: plots, images and all results"),
        *((f"{_program()} {words}", what) for words, what in _NEXT),
        (str(_near(_ROOT / "docs" / "miniworld.md")), "what this world is, and what it cannot say"),
    ]
    width = max(len(what) for what, _ in lines)
    return ["next:", *(f"  {what:<{width}}  {why}" for what, why in lines)]


def _near(path: Path) -> Path:
    """Return a path relative to the working directory if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _program() -> str:
    """Return how to call this program: ``bench``, or its path if it is not on PATH.

    `make demo` calls it by its path, in an environment that is not active.
    """
    called = Path(sys.argv[0])
    return "bench" if shutil.which("bench") or called.name != "bench" else str(called)
