"""Starting what is missing of a study, on any executor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec
from bench.storage.run_folder import Summary, is_underway, summaries, write_spec
from bench.storage.study_folder import Array, StudyFolder, Submitted
from slurm import local
from slurm.live import live_arrays, live_jobs, live_runs
from slurm.options import require_times
from slurm.plan import plan, report
from slurm.queue import Queued, queue
from slurm.snapshot import snapshot
from slurm.submit import submit

EXECUTORS = ("debug", "local", "slurm")


@dataclass(frozen=True)
class LaunchOptions:
    """How a study is executed.

    Attributes:
        on: ``debug`` for this process, ``local`` for processes of their own, ``slurm`` for jobs.
        parallel: Processes, or jobs of a kind, at a time; None for as many as suit the machine
            (`slurm.parallel.processes_for`), or as the cluster starts.
        profile: What jobs ask Slurm for (`slurm.options.read_profile`).
        keep_going: Whether a study goes on after a run failed; after three equal errors, never.
    """

    on: str = "debug"
    parallel: int | None = None
    profile: Json = field(default_factory=dict)
    keep_going: bool = True


def launch(
    specs: Sequence[RunSpec],
    titles: dict[str, str],
    study: StudyFolder,
    how: LaunchOptions,
    tell: Callable[[Array], None] = lambda _: None,
) -> int:
    """Carry out what is missing of some runs, or submit the jobs that will.

    Args:
        specs: The runs to do unless they are done, `bench.prepare.with_fingerprints`.
        titles: All runs of the study, by id, and what they are called.
        study: Where the study is kept.
        how: LaunchOptions to carry it out.
        tell: Is told of each array that Slurm has taken.

    Returns:
        How many runs were missing. They are submitted, or have ended if there is no Slurm in it.

    Raises:
        RequestError: If the study cannot be carried out so.
        BenchError: If jobs cannot be submitted.
    """
    _check(specs, study, how)
    with study.submitting():
        queued = queue() if how.on == "slurm" else {}
        missing = _missing(specs, study, queued if how.on == "slurm" else None)
        for spec in missing:
            write_spec(study.home, spec)
        if missing:
            study.submit(_submitted(titles, study, how))
        else:
            study.rename_runs(titles)
        if how.on == "slurm":
            _submit(missing, study, how, queued, tell)
    if missing and how.on == "local":
        code = snapshot(study.home)
        local.in_processes(missing, study, Progress(), code, how.parallel)
    elif missing and how.on == "debug":
        local.in_process(missing, study, Progress())
    return len(missing)


def _missing(
    specs: Sequence[RunSpec], study: StudyFolder, queued: dict[str, Queued] | None
) -> list[RunSpec]:
    """Return the runs that are not done, and on Slurm (with its queue) not under way either."""
    home = study.home
    known = summaries(home, [spec.run_id for spec in specs])
    left = [spec for spec in specs if not _is_done(known.get(spec.run_id))]
    if queued is None:
        return left
    live = live_runs(home, queued)
    return [spec for spec in left if spec.run_id not in live and not is_underway(home, spec.run_id)]


def _is_done(summary: Summary | None) -> bool:
    return summary is not None and summary.status == "done"


def _submit(
    missing: Sequence[RunSpec],
    study: StudyFolder,
    how: LaunchOptions,
    queued: dict[str, Queued],
    tell: Callable[[Array], None],
) -> None:
    """Submit the jobs of missing runs, and a report on all that are in the queue."""
    planned = (
        plan(missing, study.home, how.profile, Progress(), live_arrays(study.home, queued))
        if missing
        else []
    )
    live = live_jobs(study, queued)
    runs = {job.partition("_")[0] for job, (array, _) in live.items() if array.kind == "run"}
    reported = any(array.kind == "report" for array, _ in live.values())
    if not planned and (reported or not runs):
        return
    planned = [*planned, report(planned, sorted(runs))]
    for array in submit(planned, study, how.profile, snapshot(study.home), how.parallel):
        tell(array)


def _submitted(titles: dict[str, str], study: StudyFolder, how: LaunchOptions) -> Submitted:
    return Submitted(
        name=study.name,
        runs=titles,
        on=how.on,
        profile=how.profile,
        parallel=how.parallel,
        pause_after=3 if how.keep_going else 1,
    )


def usual_executor(home: Home) -> str:
    """Return how a study is carried out if nobody says: in processes, wherever that can be."""
    return "debug" if _spoilt(home) else "local"


def _spoilt(home: Home) -> str:
    # PYTHONPATH ends at the one, and submitit takes the other for a job's number.
    return "".join(sign for sign in ":%" if sign in str(home.root))


def _check(specs: Sequence[RunSpec], study: StudyFolder, how: LaunchOptions) -> None:
    spoilt = _spoilt(study.home)
    if spoilt and how.on != "debug":
        raise RequestError(
            f"jobs cannot be kept in {study.home.root}, for its {spoilt[0]!r}",
            "set BENCH_HOME to another folder, or say --on debug without --parallel",
        )
    if how.on == "slurm":
        require_times(how.profile)
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
