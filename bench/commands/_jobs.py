"""What the commands that carry out studies have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bench.core.specs import RunSpec
    from bench.storage.study_folder import Array, StudyFolder
    from slurm.launch import LaunchOptions


def how(
    *,
    on: str | None,
    profile: Path | None,
    asked: Sequence[str],
    parallel: int | str | None = None,
    keep_going: bool | None = None,
    before: Any = None,  # noqa: ANN401 (a Submitted; naming its type would import it)
) -> "LaunchOptions":
    """Return how to carry out a study; what is not said is as it was submitted before."""
    from bench.core.errors import RequestError, unknown_name
    from slurm.launch import EXECUTORS, LaunchOptions
    from slurm.options import read_profile

    on = on or (before.on if before else "debug")
    if on not in EXECUTORS:
        raise unknown_name("executor", on, EXECUTORS)
    if on != "slurm" and (profile or asked):
        raise RequestError(f"a Slurm profile means nothing to --on {on}", "add --on slurm")
    if on == "debug" and isinstance(parallel, int):
        raise RequestError(
            f"--parallel {parallel} means nothing to --on debug, which is one process",
            "add --on local, or leave --parallel out",
        )
    if keep_going is None:
        keep_going = before is None or before.pause_after > 1
    if parallel is None:
        parallel = before.parallel if before else None
    return LaunchOptions(
        on=on,
        parallel=parallel if isinstance(parallel, int) else None,
        profile=read_profile(profile, asked, before.profile if before else None),
        keep_going=keep_going,
    )


def execute(
    specs: "Sequence[RunSpec]",
    titles: dict[str, str],
    study: "StudyFolder",
    way: "LaunchOptions",
    *,
    wait: bool,
) -> None:
    """Launch runs, and say what became of them.

    Raises:
        BenchError: If runs failed, or were left over, by the end.
    """
    from bench.core.errors import RequestError
    from bench.runtime import distributed
    from slurm.launch import launch

    if distributed.count() > 1:
        raise RequestError(
            "a study is carried out by one process", "start single runs with torchrun instead"
        )
    study.home.make_writable()
    missing = launch(specs, titles, study, way, tell)
    if way.on != "slurm":
        conclude(study)
        return
    if not missing:
        click.echo("nothing is missing that is not in Slurm's queue or done")
    if wait:
        _follow(study)
        conclude(study)
    else:
        click.echo(f"`bench status {study.name}` says how it is doing")


def tell(array: "Array") -> None:
    """Say which jobs Slurm has taken."""
    count = len(array.tasks)
    click.echo(f"{array.job}  {array.title}: {'1 job' if count == 1 else f'{count} jobs'}")


def _follow(study: "StudyFolder", seconds: float = 5.0) -> None:
    """Wait until Slurm has no job of a study any more."""
    import time

    from bench.core.progress import Progress
    from slurm.live import live_jobs
    from slurm.queue import queue

    progress, before = Progress(), ""
    while True:
        queued = queue()
        states = [queued[job].state.lower() for job in live_jobs(study, queued)]
        if not states:
            return
        said = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        if said != before:
            progress.say(f"jobs: {said}")
            before = said
        time.sleep(seconds)


def conclude(study: "StudyFolder") -> None:
    """Say how many runs are done, and which are not.

    Raises:
        BenchError: If some are not.
    """
    from bench.core.errors import BenchError
    from slurm.status import status_of

    status = status_of(study)
    holes = [row for row in status.rows if row.state != "done"]
    click.echo(f"{len(status.rows) - len(holes)} of {len(status.rows)} runs are done")
    failed = [row.run_id for row in holes if row.state == "failed"]
    if status.hold:
        raise BenchError(
            f"the study is on hold, as {status.hold}", f"`bench retry {study.name}` goes on"
        )
    if failed:
        raise BenchError(
            f"{len(failed)} runs failed: {', '.join(failed)}",
            f"see `bench logs {failed[0]}`, then `bench retry {study.name} --failed`",
        )
    if holes:
        raise BenchError(
            f"{len(holes)} runs are missing", f"see `bench status {study.name}`; sweep again"
        )
