"""Starting what is missing of a study, on any executor."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.errors import RequestError
from bench.progress import Progress
from bench.records import is_underway, summaries
from bench.studies import Array, StudyFolder, Submitted
from bench.types import Json, RunSpec
from slurm import local
from slurm.live import live_runs
from slurm.plan import plan
from slurm.snapshot import snapshot
from slurm.submit import submit
from slurm.work import write_spec

EXECUTORS = ("debug", "local", "slurm")


@dataclass(frozen=True)
class How:
    """How a study is carried out.

    Attributes:
        on: ``debug`` for this process, ``local`` for processes of their own, ``slurm`` for jobs.
        parallel: Processes, or jobs of a kind, at a time; None for the executor's default.
        profile: What jobs ask Slurm for (`slurm.options.read_profile`).
        keep_going: Whether a study goes on after a run failed; after three equal errors, never.
    """

    on: str = "debug"
    parallel: int | None = None
    profile: Json = field(default_factory=dict)
    keep_going: bool = True


def launch(
    specs: Sequence[RunSpec], titles: dict[str, str], study: StudyFolder, how: How
) -> list[Array]:
    """Carry out what is missing of some runs, or submit the jobs that will.

    Args:
        specs: The runs to do unless they are done, `bench.run.pinned`.
        titles: All runs of the study, by id, and what they are called.
        study: Where the study is kept.
        how: How to carry it out.

    Returns:
        The jobs that were submitted; empty for the other executors, which end when the runs do.

    Raises:
        RequestError: If the study has paused itself, or cannot be carried out so.
        BenchError: If jobs cannot be submitted.
    """
    _check(specs, how)
    progress = Progress()
    with study.submitting():
        busy = live_runs(study.home) if how.on == "slurm" else {}
        known = summaries(study.home, [spec.run_id for spec in specs])
        missing = [
            spec
            for spec in specs
            if not (spec.run_id in known and known[spec.run_id].status == "done")
            and spec.run_id not in busy
        ]
        if how.on == "slurm":
            missing = [spec for spec in missing if not is_underway(study.home, spec.run_id)]
        for spec in missing:
            write_spec(study.home, spec)
        study.submit(_submitted(titles, study, how))
        if not missing:
            return []
        code = snapshot(study.home)
        if how.on == "slurm":
            planned = plan(missing, study.home, how.profile, progress)
            return submit(planned, study, how.profile, code, how.parallel)
    if how.on == "local":
        local.in_processes(missing, study, progress, code, how.parallel or 2)
    else:
        local.in_process(missing, study, progress)
    return []


def _submitted(titles: dict[str, str], study: StudyFolder, how: How) -> Submitted:
    return Submitted(
        name=study.name,
        runs=titles,
        on=how.on,
        profile=how.profile,
        parallel=how.parallel,
        pause_after=3 if how.keep_going else 1,
    )


def _check(specs: Sequence[RunSpec], how: How) -> None:
    several = [spec for spec in specs if spec.train.processes > 1]
    if several and how.on != "slurm":
        raise RequestError(
            f"{len(several)} runs want several processes (train.nodes, train.gpus_per_node)",
            "add --on slurm, or start single runs with torchrun",
        )


def require_running(study: StudyFolder) -> None:
    """Make sure that a study has not paused itself.

    Raises:
        RequestError: If it has.
    """
    hold = study.hold()
    if hold is not None and hold.by == "errors":
        raise RequestError(
            f"the study {study.name} has paused itself, as {hold.reason}",
            f"mend it, then `bench retry {study.name} --failed`",
        )
