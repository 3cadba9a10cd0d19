"""Launching the missing runs of a study, on any executor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.records import TOO_FEW_IMAGES
from bench.core.specs import RunSpec
from bench.steps.check_images import check_images
from bench.steps.collect import retry_failed
from bench.storage.run_folder import is_underway, summaries, write_spec
from bench.storage.study_folder import Array, StudyFolder, Submitted
from slurm import local
from slurm.options import require_times
from slurm.plan import plan, report
from slurm.queue import Queued, live_arrays, live_jobs, live_runs, queue
from slurm.snapshot import snapshot
from slurm.submit import submit

EXECUTORS = ("debug", "local", "slurm")


@dataclass(frozen=True)
class LaunchOptions:
    """How a study is executed.

    Attributes:
        on: ``debug`` for this process, ``local`` for worker processes, ``slurm`` for jobs.
        parallel: Processes, or jobs of a kind, at a time; None for as many as suit the machine
            (`slurm.parallel.processes_for`), or as the cluster starts.
        profile: What jobs ask Slurm for (`slurm.options.read_profile`).
        keep_going: Whether a study goes on after a run failed; after three equal errors, never.
        retry_failed: Whether failed downloads are tried again, and with them the runs that asked
            for more images than there were.
    """

    on: str = "debug"
    parallel: int | None = None
    profile: Json = field(default_factory=dict)
    keep_going: bool = True
    retry_failed: bool = False


def launch(
    specs: Sequence[RunSpec],
    titles: dict[str, str],
    study: StudyFolder,
    options: LaunchOptions,
    on_submit: Callable[[Array], None] = lambda _: None,
) -> int:
    """Execute the missing runs of a study, or submit jobs that do.

    Args:
        specs: The runs to execute, `bench.steps.prepare.with_fingerprints`. Those that are done,
            or, unless downloads are tried again, are known to ask for more images than there are,
            are left out.
        titles: Run id to title, for all runs of the study.
        study: The study's folder.
        options: How to execute them.
        on_submit: Is called with each array that Slurm has accepted.

    Returns:
        How many runs were missing. On Slurm they are submitted; elsewhere they have ended.

    Raises:
        RequestError: If the study cannot be executed with these options, or an image of a task
            cannot be read.
        BenchError: If jobs cannot be submitted.
    """
    _check(specs, study, options)
    # Before the lock, which all studies of a home share: it may take minutes.
    unfinished = _missing(specs, study, None, holes=options.retry_failed)
    check_images(unfinished, study.home, Progress())
    with study.submitting():
        queued = queue() if options.on == "slurm" else None
        missing = _missing(specs, study, queued, holes=options.retry_failed)
        if options.retry_failed:
            retry_failed(missing, study.home, Progress())
        for spec in missing:
            write_spec(study.home, spec)
        if missing:
            study.submit(_submitted(titles, study, options))
        else:
            study.rename_runs(titles)
        if queued is not None:
            _submit(missing, study, options, queued, on_submit)
    if missing and options.on == "local":
        code = snapshot(study.home)
        local.in_processes(missing, study, Progress(), code, options.parallel)
    elif missing and options.on == "debug":
        local.in_process(missing, study, Progress())
    return len(missing)


def _missing(
    specs: Sequence[RunSpec],
    study: StudyFolder,
    queued: dict[str, Queued] | None,
    *,
    holes: bool,
) -> list[RunSpec]:
    """Return the runs to execute: those that are not done.

    Those that asked for too many images are among them only with `holes`. On Slurm, given its
    queue, those that are under way are left out too.
    """
    home = study.home
    known = summaries(home, [spec.run_id for spec in specs])
    open_ = ("failed", TOO_FEW_IMAGES) if holes else ("failed",)
    settled = {run_id for run_id, summary in known.items() if summary.state not in open_}
    missing = [spec for spec in specs if spec.run_id not in settled]
    if queued is None:
        return missing
    live = live_runs(home, queued)
    return [
        spec for spec in missing if spec.run_id not in live and not is_underway(home, spec.run_id)
    ]


def _submit(
    missing: Sequence[RunSpec],
    study: StudyFolder,
    options: LaunchOptions,
    queued: dict[str, Queued],
    on_submit: Callable[[Array], None],
) -> None:
    """Submit the jobs of missing runs, and a report that waits for them and for queued runs."""
    planned = []
    if missing:
        arrays = live_arrays(study.home, queued)
        planned = plan(missing, study.home, options.profile, Progress(), arrays)
    live = live_jobs(study, queued)
    runs = {job.partition("_")[0] for job, (array, _) in live.items() if array.kind == "run"}
    has_report = any(array.kind == "report" for array, _ in live.values())
    if not planned and (has_report or not runs):
        return
    planned = [*planned, report(planned, sorted(runs))]
    code = snapshot(study.home)
    for array in submit(planned, study, options.profile, code, options.parallel):
        on_submit(array)


def _submitted(titles: dict[str, str], study: StudyFolder, options: LaunchOptions) -> Submitted:
    return Submitted(
        name=study.name,
        runs=titles,
        on=options.on,
        profile=options.profile,
        parallel=options.parallel,
        pause_after=3 if options.keep_going else 1,
    )


def default_executor(home: Home) -> str:
    """Return the executor of a study for which none is named: ``local`` wherever that works."""
    return "debug" if _unsupported_characters(home) else "local"


def _unsupported_characters(home: Home) -> str:
    # A colon ends an entry of PYTHONPATH, and submitit expands a percent sign.
    return "".join(character for character in ":%" if character in str(home.root))


def _check(specs: Sequence[RunSpec], study: StudyFolder, options: LaunchOptions) -> None:
    characters = _unsupported_characters(study.home)
    if characters and options.on != "debug":
        raise RequestError(
            f"jobs cannot use the home folder {study.home.root}: its path has a {characters[0]!r}",
            "set BENCH_HOME to another folder, or use --on debug without --parallel",
        )
    if options.on == "slurm":
        require_times(options.profile)
    distributed = [spec for spec in specs if spec.train.processes > 1]
    if distributed and options.on != "slurm":
        raise RequestError(
            f"{len(distributed)} runs need several processes (train.nodes, train.gpus_per_node)",
            "add --on slurm, or start single runs with torchrun",
        )


def require_running(study: StudyFolder) -> None:
    """Make sure that a study is not on hold because of errors.

    Raises:
        RequestError: If it is.
    """
    hold = study.hold()
    if hold is not None and hold.by == "errors":
        raise RequestError(
            f"the study {study.name} is on hold: {hold.reason}",
            f"fix the cause, then run `bench retry {study.name} --failed`",
        )
