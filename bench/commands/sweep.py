"""``bench sweep``: the runs of a study."""

from pathlib import Path

import click


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--on", default="debug", show_default=True, help="debug (this process) or local.")
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Processes at a time, for local.",
)
@click.option("--dry-run", is_flag=True, help="Print the runs; do nothing.")
def command(study: Path, on: str, parallel: int, dry_run: bool) -> None:
    """Carry out a study; what is done is not done again."""
    from bench import processes
    from bench.errors import BenchError, RequestError, unknown_name
    from bench.paths import Home
    from bench.progress import Progress
    from bench.records import read_record
    from bench.run import pinned
    from bench.size import format_size
    from bench.sweep import expand, load_study
    from slurm.submit import EXECUTORS, execute

    if on not in EXECUTORS:
        raise unknown_name("executor", on, EXECUTORS)
    if processes.count() > 1:
        raise RequestError(
            "a study is carried out by one process", "start single runs with torchrun instead"
        )
    home = Home.from_environment()
    specs = [pinned(spec, home) for spec in expand(load_study(study))]
    if dry_run:
        for spec in specs:
            record = read_record(home, spec.run_id)
            status = record.status if record else "to do"
            size = format_size(spec.n)
            click.echo(
                f"{spec.run_id}  {status:<6}  {spec.task} {spec.source} n={size} seed={spec.seed}"
            )
        return
    home.make_writable()
    statuses = execute(specs, home, Progress(), on, parallel)
    failed = [run_id for run_id, status in statuses.items() if status != "done"]
    click.echo(f"{len(specs) - len(failed)} of {len(specs)} runs are done")
    if failed:
        raise BenchError(f"{len(failed)} runs failed: {', '.join(failed)}", "see their records")
