"""``bench run``: one run, from its source to its record."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.commands._options import prepared, run_options, where_options

if TYPE_CHECKING:
    from bench.core.paths import Home
    from bench.core.specs import RunSpec
    from slurm.launch import LaunchOptions


@click.command()
@run_options
@click.option("--fresh", is_flag=True, help="Run again even if it is done; stages are kept.")
@click.option("--dry-run", is_flag=True, help="Print the complete spec and what it costs.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as one JSON object.")
@where_options("debug")
def command(  # noqa: PLR0913 (the command line's options)
    *,
    fresh: bool,
    dry_run: bool,
    as_json: bool,
    on: str | None,
    profile: Path | None,
    asked: tuple[str, ...],
    wait: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Collect images, adapt CLIP to them, and judge it."""
    import msgspec

    from bench.collect import estimate
    from bench.commands._jobs import how
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.prepare import with_fingerprints
    from bench.run import run
    from bench.runtime import distributed
    from results.fidelity import describe, recorded

    home = Home.from_environment()
    spec = with_fingerprints(prepared(**options), home)
    if dry_run:
        cost = estimate(spec, home, Progress())
        plan = {"run_id": spec.run_id, "spec": spec} | ({"estimate": cost} if cost else {})
        click.echo(readable_json(plan))
        return
    way = how(on=on, profile=profile, asked=asked)
    if way.on != "debug":
        refused = {"--fresh": fresh, "--json": as_json, "--plugin": options["plugin"] is not None}
        _launch(spec, home, way, [name for name, given in refused.items() if given], wait=wait)
        return
    home.make_writable()
    record = run(spec, home, Progress(), fresh=fresh)
    if not distributed.is_main_process():
        return
    if as_json:
        click.echo(msgspec.json.encode(record).decode())
        return
    click.echo(f"run {record.run_id}: {spec.source} for {spec.task}, {record.n.used} images used")
    for score in record.scores:
        interval = f"[{score.ci_low:.1%}, {score.ci_high:.1%}]"
        click.echo(
            f"  {score.split:<5} {score.evaluator:<13} {score.metric:<15} "
            f"{score.value:6.1%} {interval} of {score.n} images"
        )
    known = recorded(record)
    if known or (spec.preset == "mini" and spec.source in ("synthetic", "mixed")):
        click.echo(f"  {describe(known, spec.task)}")
    click.echo(f"  record: {home.run(record.run_id) / 'record.json'}")


def _launch(
    spec: "RunSpec", home: "Home", way: "LaunchOptions", refused: list[str], *, wait: bool
) -> None:
    """Carry a run out elsewhere, as a study of its own; some options do not reach it there."""
    from bench.commands._jobs import execute
    from bench.core.errors import RequestError
    from bench.storage.study_folder import StudyFolder
    from slurm.work import titles

    if refused:
        raise RequestError(f"{refused[0]} does not go with --on {way.on}", "leave one of them out")
    study = StudyFolder(home, f"run-{spec.run_id}")
    execute([spec], titles([spec]), study, way, wait=wait)
