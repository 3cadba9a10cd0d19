"""``bench sweep``: execute the runs of a study."""

from pathlib import Path
from typing import Any

import click

from bench.commands._options import settings_option, study_options


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@settings_option("train.nodes=2")
@click.option("--dry-run", is_flag=True, help="Print only the runs and a forecast of their cost.")
@click.option("--json", "as_json", is_flag=True, help="Print the dry run as one JSON object.")
@study_options(executor="local", parallel="auto")
def command(
    study: Path,
    *,
    settings: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    wait: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Execute the runs of a study. Runs that are done are not repeated.

    STUDY is its YAML file.
    """
    from bench.commands._dry_run import show_dry_run
    from bench.commands._launch import launch_options, launch_study
    from bench.core.paths import Home
    from bench.planning.study import expand, load_study
    from bench.steps.prepare import all_with_fingerprints
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
    specs = all_with_fingerprints(expand(loaded), home)
    if dry_run:
        show_dry_run(specs, home, as_json=as_json)
        return
    require_running(folder)
    launch_study(specs, titles(specs), folder, launch, wait=wait)
