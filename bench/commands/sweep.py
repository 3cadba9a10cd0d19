"""``bench sweep``: the runs of a study."""

from pathlib import Path
from typing import Any

import click

from bench.commands._options import job_options


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="For every run: train.nodes=2"
)
@click.option("--dry-run", is_flag=True, help="Print the runs and what they will cost; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the dry run as one JSON object.")
@job_options("local")
def command(
    study: Path,
    *,
    settings: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    wait: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Carry out a study; what is done is not done again."""
    from bench.commands._jobs import execute, how
    from bench.commands._plan import show_plan
    from bench.core.paths import Home
    from bench.planning.study import expand, load_study
    from bench.prepare import all_with_fingerprints
    from bench.storage.study_folder import StudyFolder
    from slurm.launch import require_running, usual_executor
    from slurm.work import titles

    home = Home.from_environment()
    loaded = load_study(study, settings)
    folder = StudyFolder(home, loaded.name)
    # Whoever says how many processes wants processes, or hears why they cannot be.
    several = isinstance(options["parallel"], int)
    options["on"] = options["on"] or ("local" if several else usual_executor(home))
    way = how(**options)
    specs = all_with_fingerprints(expand(loaded), home)
    if dry_run:
        show_plan(specs, home, as_json=as_json)
        return
    require_running(folder)
    execute(specs, titles(specs), folder, way, wait=wait)
