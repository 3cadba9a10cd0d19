"""``bench sweep``: execute the runs of a study."""

from pathlib import Path
from typing import Any

import click

from bench.commands._options import settings_option, show_notes, study_options


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@settings_option("train.nodes=2")
@click.option(
    "--skip-missing",
    is_flag=True,
    help="Leave out runs that lack weights, a pool or a task's data, and say which.",
)
@click.option("--dry-run", is_flag=True, help="Print only the runs and a forecast of their cost.")
@click.option("--json", "as_json", is_flag=True, help="Print the dry run as one JSON object.")
@study_options(executor="local", parallel="auto")
def command(
    study: Path,
    *,
    settings: tuple[str, ...],
    skip_missing: bool,
    dry_run: bool,
    as_json: bool,
    wait: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Execute the runs of a study. Runs that are done are not repeated.

    STUDY is its YAML file.
    """
    from bench.commands._dry_run import show_dry_run
    from bench.commands._lacking import lacking, require_complete
    from bench.commands._launch import launch_options, launch_study
    from bench.core.paths import Home
    from bench.planning.study import expand, load_study
    from bench.steps.prepare import prepared
    from bench.storage.study_folder import StudyFolder
    from slurm.launch import default_executor, require_running
    from slurm.naming import titles

    home = Home.from_environment()
    loaded = load_study(study, settings)
    folder = StudyFolder(home, loaded.name)
    # A number of processes asks for processes, even where they are refused.
    wants_processes = isinstance(options["parallel"], int)
    options["on"] = options["on"] or ("local" if wants_processes else default_executor(home))
    launch = launch_options(**options, wait=wait)
    # One folder may be written in several ways.
    runs = list({run.spec.run_id: run for run in prepared(expand(loaded), home)}.values())
    show_notes([run.spec for run in runs if not run.absences], home)
    if dry_run:
        show_dry_run(runs, loaded.preset, home, skip_missing=skip_missing, as_json=as_json)
        return
    absent = lacking(runs)
    require_complete(absent, len(runs), skip_missing=skip_missing)
    require_running(folder)
    click.echo("".join(f"left out: {each.line}\n" for each in absent), nl=False)
    specs = [run.spec for run in runs if not run.absences]
    launch_study(specs, titles(specs), folder, launch, wait=wait)
