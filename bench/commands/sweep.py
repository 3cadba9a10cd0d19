"""``bench sweep``: the runs of a study."""

from pathlib import Path
from typing import Any

import click

from bench.commands._options import job_options


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@job_options
@click.option("--dry-run", is_flag=True, help="Print the runs and what they cost; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON object.")
def command(study: Path, dry_run: bool, as_json: bool, wait: bool, **options: Any) -> None:  # noqa: ANN401
    """Carry out a study; what is done is not done again."""
    from bench.commands._jobs import carry_out, how
    from bench.commands._plan import show_plan
    from bench.paths import Home
    from bench.run import pinned
    from bench.studies import StudyFolder
    from bench.sweep import expand, load_study
    from slurm.launch import require_running
    from slurm.work import title_of

    home = Home.from_environment()
    loaded = load_study(study)
    folder = StudyFolder(home, loaded.name)
    way = how(**options)
    specs = [pinned(spec, home) for spec in expand(loaded)]
    if dry_run:
        show_plan(specs, home, as_json=as_json)
        return
    require_running(folder)
    carry_out(specs, {spec.run_id: title_of(spec) for spec in specs}, folder, way, wait=wait)
