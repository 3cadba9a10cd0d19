"""What a job does. It receives names only: specs and everything made from them are on disk."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock

from bench.core.errors import BenchError, TooFewImagesError
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec
from bench.core.work_selection import WorkSelection
from bench.runtime import distributed
from bench.steps.collect import collect_images, job_stages_of
from bench.storage.run_folder import read_spec
from bench.storage.stage import UnfinishedError
from bench.storage.study_folder import StudyFolder
from slurm import queue
from slurm.logs import logged
from slurm.naming import job_name
from slurm.plan import most_jobs
from slurm.worker import work

DEVICES = "BENCH_CUDA_DEVICES"
"""Environment variable: the GPUs of a local worker, all of which submitit hides."""

ALL_DEVICES = "all"
"""Its value where every GPU is used."""

PARENT_LOCK = "BENCH_PARENT_LOCK"
"""Environment variable: the lock that a local worker's parent holds as long as it lives."""

GRACE_SECONDS = 20.0
"""Time that interrupted workers have to end."""


def execute(home: str, study: str, kind: str, run_ids: Sequence[str]) -> None:
    """Execute one job of a study; killed and started again, it continues.

    Args:
        home: The home folder.
        study: The study's name.
        kind: The kind of job (`slurm.options.KINDS`).
        run_ids: The runs to execute, or the runs whose source's stages are built.

    Raises:
        BenchError: If any part failed, after all of it was tried.
    """
    folder = StudyFolder(Home(Path(home)), study)
    if kind == "report":
        _report(folder)
        return
    specs = [read_spec(folder.home, run_id) for run_id in run_ids]
    if kind == "run":
        _run(specs, folder)
    else:
        _build(specs, folder, kind)


def _requeued(home: str, study: str, kind: str, run_ids: Sequence[str]) -> object:
    """Return what the job executes when it starts again after its time limit or a preemption."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(execute, home, study, kind, run_ids)


# submitit calls it when Slurm is about to end the job, and requeues the job.
execute.checkpoint = _requeued  # type: ignore[attr-defined]


def _run(specs: Sequence[RunSpec], folder: StudyFolder) -> None:
    _prepare_environment()
    context = partial(_run_context, folder.home)
    # A Slurm job does not wait for runs of other jobs: that would waste its allocation.
    ended = work(specs, folder, Progress(), context, wait=not _on_slurm())
    failed = [spec.run_id for spec, state in ended if state == "failed"]
    if failed:
        raise BenchError(f"{len(failed)} of {len(specs)} runs failed: {', '.join(failed)}")


def _on_slurm() -> bool:
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def _prepare_environment() -> None:
    """Make this process's GPUs visible, and join the run's other processes if there are any."""
    if PARENT_LOCK in os.environ:
        parent = os.environ[PARENT_LOCK]
        threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    if DEVICES in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ[DEVICES]
        if os.environ[DEVICES] == ALL_DEVICES:
            del os.environ["CUDA_VISIBLE_DEVICES"]
    if _on_slurm() and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)


def _exit_with_parent(lock: str) -> None:
    """Interrupt this process when its parent releases the lock, which it does even if killed."""
    FileLock(lock).acquire(poll_interval=1.0)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


@contextmanager
def _run_context(home: Home, spec: RunSpec) -> Iterator[None]:
    if not distributed.is_main_process():
        yield
        return
    with logged(home, spec.run_id):
        _rename_job(spec)
        yield


def _rename_job(spec: RunSpec) -> None:
    """Name a running job after its run; the jobs of an array are submitted under one name."""
    if _on_slurm() and "SLURM_ARRAY_JOB_ID" in os.environ:
        try:
            queue.rename(distributed.job(), job_name(spec))
        except BenchError as error:  # The name is a courtesy: the run goes on.
            Progress().say(f"cannot rename the job: {error}")


def _build(specs: Sequence[RunSpec], folder: StudyFolder, kind: str) -> None:
    """Build one stage of a source, together with the array's other jobs, or all that is left."""
    if _is_surplus(specs, folder.home, kind):
        Progress().say(f"done; other jobs of this array make all shards of {kind}")
        return
    failed = []
    for spec in specs:
        if folder.hold() is not None:
            return
        try:
            selection = WorkSelection(stages=_stages_up_to(spec, kind))
            collect_images(spec, folder.home, Progress(), selection)
        except UnfinishedError as unfinished:
            Progress().say(f"done; the stage {unfinished.stage} is another job's")
        except TooFewImagesError as error:  # A mixture's part ended; its runs will say so.
            Progress().say(f"{spec.source} for {spec.task}: {error}")
        except BenchError as error:
            Progress().say(f"{spec.source} for {spec.task}: {error}")
            failed.append(error)
    if failed:
        raise failed[0]


def _is_surplus(specs: Sequence[RunSpec], home: Home, kind: str) -> bool:
    """Return whether the array has at least as many jobs before this one as there are shards.

    How many shards there are may be known only now. Nothing heavy was imported yet.
    """
    before = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0")) if _on_slurm() else 0
    if not before or kind not in [names[-1] for spec in specs for names in job_stages_of(spec)]:
        return False
    most = most_jobs(specs, home, kind)
    return most is not None and before >= most


def _stages_up_to(spec: RunSpec, kind: str) -> frozenset[str] | None:
    """Return the names of a kind's stage and of all before it; None, for all, if it has none."""
    stages = job_stages_of(spec)
    kinds = [names[-1] for names in stages]
    if kind not in kinds:
        return None
    return frozenset(name for names in stages[: kinds.index(kind) + 1] for name in names)


def _report(folder: StudyFolder) -> None:
    """Collect the records that exist, and write the report."""
    from results.database.store import collect
    from results.report.page import write_report

    progress = Progress()
    for reason in collect(folder.home).skipped:
        progress.say(f"skipped {reason}")
    progress.say(f"report: {write_report(folder.home, folder.home.report).html}")
