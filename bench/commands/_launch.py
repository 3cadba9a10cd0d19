"""Launching a study from the command line: options, jobs, outcome."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bench.core.specs import RunSpec
    from bench.storage.study_folder import Array, StudyFolder
    from slurm.launch import LaunchOptions


def launch_options(  # noqa: PLR0913 (the command line's options)
    *,
    on: str | None,
    profile: Path | None,
    slurm_settings: Sequence[str],
    wait: bool,
    parallel: int | str | None = None,
    keep_going: bool | None = None,
    retry_failed: bool = False,
    before: Any = None,  # noqa: ANN401 (a Submitted; naming its type would import it)
) -> "LaunchOptions":
    """Return how to execute a study; an option that is not given is as it was submitted before.

    Raises:
        RequestError: If options contradict each other.
    """
    from bench.core.errors import RequestError, unknown_name
    from slurm.launch import EXECUTORS, LaunchOptions
    from slurm.options import read_profile

    on = on or (before.on if before else "debug")
    if on not in EXECUTORS:
        raise unknown_name("executor", on, EXECUTORS)
    for_slurm = {"--profile": profile, "--slurm": slurm_settings, "--wait": wait}
    given = [name for name, value in for_slurm.items() if value]
    if on != "slurm" and given:
        raise RequestError(f"{given[0]} has no effect with --on {on}", "add --on slurm")
    if on == "debug" and isinstance(parallel, int):
        raise RequestError(
            f"--parallel {parallel} has no effect with --on debug, which is one process",
            "add --on local, or leave --parallel out",
        )
    if keep_going is None:
        keep_going = before is None or before.pause_after > 1
    if parallel is None:
        parallel = before.parallel if before else None
    return LaunchOptions(
        on=on,
        parallel=parallel if isinstance(parallel, int) else None,
        profile=read_profile(profile, slurm_settings, before.profile if before else None),
        keep_going=keep_going,
        retry_failed=retry_failed,
    )


def launch_study(
    specs: "Sequence[RunSpec]",
    titles: dict[str, str],
    study: "StudyFolder",
    options: "LaunchOptions",
    *,
    wait: bool,
) -> None:
    """Launch the missing runs of a study, and print what became of them.

    Raises:
        BenchError: If runs failed or are missing at the end.
    """
    from bench.core.errors import RequestError
    from bench.core.progress import Progress
    from bench.runtime import distributed
    from bench.storage.run_folder import summaries
    from slurm.follow import follow
    from slurm.launch import launch

    if distributed.count() > 1:
        raise RequestError(
            "a study cannot be launched under torchrun", "use torchrun with `bench run`"
        )
    study.home.make_writable()
    known = summaries(study.home, [spec.run_id for spec in specs])
    if not options.retry_failed:
        say_skipped(sum(summary.too_few_images for summary in known.values()))
    missing = launch(specs, titles, study, options, _print_array)
    if options.on == "slurm" and not missing:
        click.echo("nothing is missing: every run is done or in Slurm's queue")
        _say_what_stays(study)
    if options.on == "slurm" and not wait:
        click.echo(f"follow the study with `bench status {study.name}`")
        return
    if options.on == "slurm":
        follow(study, Progress())
    _conclude(study)


def _say_what_stays(study: "StudyFolder") -> None:
    """Say which jobs of a study do not start by themselves."""
    from slurm.queue import queue
    from slurm.reasons import Fate
    from slurm.waiting import waiting

    for group in waiting(study, queue()):
        if group.fate is not Fate.PASSES:
            click.echo(group.sentence)


def say_skipped(count: int) -> None:
    """Say how many runs are not executed again because they ask for too many images."""
    if count:
        click.echo(f"skipped: {_asking(count)} for more images than there are")


def _asking(count: int) -> str:
    return "1 run asks" if count == 1 else f"{count} runs ask"


def _print_array(array: "Array") -> None:
    count = len(array.tasks)
    click.echo(f"{array.job}  {array.title}: {'1 job' if count == 1 else f'{count} jobs'}")


def _conclude(study: "StudyFolder") -> None:
    """Print how many runs are done, and where to see them.

    Raises:
        BenchError: If others could be.
    """
    from bench.core.errors import BenchError
    from bench.core.records import TOO_FEW_IMAGES
    from slurm.status import status_of

    status = status_of(study)
    unfinished = [row for row in status.rows if row.state not in ("done", TOO_FEW_IMAGES)]
    done = sum(row.state == "done" for row in status.rows)
    holes = len(status.rows) - len(unfinished) - done
    rest = f", and {_asking(holes)} for more images than there are" if holes else ""
    click.echo(f"{done} of {len(status.rows)} runs are done{rest}")
    failed = [row.run_id for row in unfinished if row.state == "failed"]
    if status.hold:
        raise BenchError(
            f"the study is on hold: {status.hold}", f"continue it with `bench retry {study.name}`"
        )
    if failed:
        raise BenchError(
            f"{len(failed)} runs failed: {', '.join(failed)}",
            f"see `bench logs {failed[0]}`, then `bench retry {study.name} --failed`",
        )
    if unfinished:
        raise BenchError(
            f"{len(unfinished)} runs are missing",
            f"see `bench status {study.name}`, then sweep again",
        )
    click.echo("what came out: `bench report` writes a page with plots, `bench export` a table")
