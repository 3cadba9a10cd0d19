"""``bench run``: execute one run, from its source to its record."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.commands._options import (
    executor_options,
    retry_option,
    run_options,
    run_spec,
    show_notes,
)

if TYPE_CHECKING:
    from bench.core.paths import Home
    from bench.core.records import RunRecord, Score
    from bench.core.specs import RunSpec
    from slurm.launch import LaunchOptions


@click.command()
@run_options
@click.option("--fresh", is_flag=True, help="Repeat the run even if it is done. Stages are kept.")
@retry_option
@click.option("--dry-run", is_flag=True, help="Print only the complete spec and its cost estimate.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as one JSON object.")
@executor_options("debug")
def command(  # noqa: PLR0913 (the command line's options)
    *,
    fresh: bool,
    retry_failed: bool,
    dry_run: bool,
    as_json: bool,
    on: str | None,
    profile: Path | None,
    slurm_settings: tuple[str, ...],
    wait: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Collect images, fine-tune CLIP on them, and evaluate it."""
    import msgspec

    from bench.commands._launch import launch_options
    from bench.core.json_values import readable_json
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.planning.changes import changes
    from bench.runtime import distributed
    from bench.steps.check_images import check_images
    from bench.steps.collect import estimate
    from bench.steps.prepare import with_fingerprints

    home = Home.from_environment()
    spec = with_fingerprints(run_spec(**options), home)
    launch = launch_options(
        on=on,
        profile=profile,
        slurm_settings=slurm_settings,
        wait=wait,
        retry_failed=retry_failed,
    )
    show_notes([spec], home)
    if dry_run:
        cost = estimate(spec, home, Progress())
        changed = changes([spec], options["preset"])
        plan = {"run_id": spec.run_id, "spec": spec, "changes": changed}
        click.echo(readable_json(plan | ({"estimate": cost} if cost else {})))
        return
    if launch.on != "debug":
        local_only = {"--fresh": fresh, "--json": as_json, "--plugin": options["plugin"]}
        _launch(spec, home, launch, [name for name, given in local_only.items() if given], wait)
        return
    home.make_writable()
    distributed.check_count(spec.train)
    if distributed.is_main_process():
        check_images([spec], home, Progress())
    record = _executed(spec, home, fresh=fresh, retry_failed=retry_failed)
    if not distributed.is_main_process():
        return
    if as_json:
        click.echo(msgspec.json.encode(record).decode())
        return
    _show(record, home)


def _show(record: "RunRecord", home: "Home") -> None:
    """Print what a person wants to know of a record."""
    from bench.core.progress import first_few
    from results.fidelity import describe, recorded

    spec = record.spec
    click.echo(f"run {record.run_id}: {spec.source} for {spec.task}, {record.n.used} images used")
    _show_scores(record)
    if left_out := record.stage_counts.get("too_small_groups"):
        click.echo(
            f"  left out: {left_out['images']:,} images in {left_out['groups']:,} groups that are "
            f"too small for {spec.objective}"
        )
    if empty := record.empty_classes:
        click.echo(f"  classes without an image: {len(empty)} ({first_few(empty)})")
        for score in record.scores_of_classes:
            if score.at_epoch == "chosen":
                click.echo(_line(score, f" of {score.classes} classes"))
    measured = recorded(record)
    if measured or (spec.preset == "mini" and spec.source in ("synthetic", "mixed")):
        click.echo(f"  {describe(measured, spec.task)}")
    click.echo(f"  record: {home.run(record.run_id) / 'record.json'}")


def _show_scores(record: "RunRecord") -> None:
    """Print the chosen epoch's scores, and what training did where none of it was chosen."""
    for score in record.scores_at("chosen"):
        click.echo(_line(score))
    trained = record.selection.get("trained_epoch", 0)
    if trained and not record.selection["epoch"]:
        click.echo(f"  validation kept the unadapted model; the best trained epoch, {trained}:")
        for score in record.scores_at("trained"):
            click.echo(_line(score))


def _line(score: "Score", of: str = "") -> str:
    interval = f"[{score.ci_low:.1%}, {score.ci_high:.1%}]"
    return (
        f"  {score.split:<5} {score.evaluator:<13} {score.metric:<15} "
        f"{score.value:6.1%} {interval} of {score.n} images{of}"
    )


def _executed(spec: "RunSpec", home: "Home", *, fresh: bool, retry_failed: bool) -> "RunRecord":
    from bench.core.errors import TooFewImagesError
    from bench.core.progress import Progress
    from bench.run import run
    from bench.runtime import distributed
    from bench.steps import collect
    from bench.storage.run_folder import read_record

    record = read_record(home, spec.run_id)
    unfinished = fresh or record is None or record.status != "done"
    if retry_failed and unfinished and distributed.is_main_process():
        collect.retry_failed([spec], home, Progress())
    try:
        return run(spec, home, Progress(), fresh=fresh)
    except TooFewImagesError as error:
        if distributed.is_main_process():
            raise
        sys.exit(error.exit_code)  # The main process says why.


def _launch(
    spec: "RunSpec", home: "Home", launch: "LaunchOptions", local_only: list[str], wait: bool
) -> None:
    """Execute a run in another process, as a study of one run."""
    from bench.commands._launch import launch_study
    from bench.core.errors import RequestError
    from bench.storage.study_folder import StudyFolder
    from slurm.naming import titles

    if local_only:
        raise RequestError(
            f"{local_only[0]} is not supported with --on {launch.on}", "leave one of them out"
        )
    study = StudyFolder(home, f"run-{spec.run_id}")
    launch_study([spec], titles([spec]), study, launch, wait=wait)
