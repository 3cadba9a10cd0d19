"""What a job does. It is given names alone: specs, and all that is made of them, are on disk."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock

from bench.collect import collect_images
from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec
from bench.core.work_selection import WorkSelection
from bench.runtime import distributed
from bench.storage.run_folder import read_spec
from bench.storage.stage import UnfinishedError
from bench.storage.study_folder import StudyFolder
from slurm import queue
from slurm.work import job_stages_of, logged, name_of, work

DEVICES = "BENCH_CUDA_DEVICES"
"""Names the GPUs of a local process, from which submitit hides them all."""

ALL = "all"
"""As the name of the GPUs: whatever is there."""


PARENT = "BENCH_PARENT_LOCK"
"""Names the lock that a local process's parent holds as long as it lives."""

PATIENCE = 20.0
"""Seconds for interrupted processes to end."""


def execute(home: str, study: str, kind: str, run_ids: Sequence[str]) -> None:
    """Do one job's part of a study; killed and started again, it continues.

    Args:
        home: The home folder.
        study: The study's name.
        kind: What to do (`slurm.options.KINDS`).
        run_ids: The runs that it is about, by whose specs a source's stages are known.

    Raises:
        BenchError: If anything of it failed, after all of it was tried.
    """
    place = Home(Path(home))
    folder = StudyFolder(place, study)
    if kind == "report":
        _report(folder)
        return
    specs = [read_spec(place, run_id) for run_id in run_ids]
    if kind == "run":
        _run(specs, folder)
    else:
        _make(specs, folder, kind)


def _again(home: str, study: str, kind: str, run_ids: Sequence[str]) -> object:
    """Return what to do when the job is started again after its time limit or a preemption."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(execute, home, study, kind, run_ids)


# submitit asks for it when Slurm is about to end the job, and puts the job back into the queue.
execute.checkpoint = _again  # type: ignore[attr-defined]


def _run(specs: Sequence[RunSpec], folder: StudyFolder) -> None:
    _prepare()
    # A job of a cluster is too dear to wait in.
    ran = work(specs, folder, Progress(), partial(_around, folder.home), wait=not _on_slurm())
    failed = [spec.run_id for spec, status in ran if status != "done"]
    if failed:
        raise BenchError(f"{len(failed)} of {len(specs)} runs failed: {', '.join(failed)}")


def _on_slurm() -> bool:
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def _prepare() -> None:
    """Find this process's devices, and the other processes, if Slurm started several at one run."""
    if PARENT in os.environ:
        threading.Thread(target=_end_with, args=(os.environ[PARENT],), daemon=True).start()
    if DEVICES in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ[DEVICES]
        if os.environ[DEVICES] == ALL:
            del os.environ["CUDA_VISIBLE_DEVICES"]
    if _on_slurm() and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)


def _end_with(parent: str) -> None:
    """Interrupt this process when its parent, killed as it may be, lets go of a lock."""
    FileLock(parent).acquire(poll_interval=1.0)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE)
    os._exit(1)


@contextmanager
def _around(home: Home, spec: RunSpec) -> Iterator[None]:
    if not distributed.is_main_process():
        yield
        return
    with logged(home, spec.run_id):
        _rename(spec)
        yield


def _rename(spec: RunSpec) -> None:
    """Give a running job the name of its run; an array's jobs are all submitted under one."""
    if _on_slurm() and "SLURM_ARRAY_JOB_ID" in os.environ:
        try:
            queue.rename(distributed.job(), name_of(spec))
        except BenchError as error:  # The name is a courtesy: the run goes on.
            Progress().say(f"the job keeps its name: {error}")


def _make(specs: Sequence[RunSpec], folder: StudyFolder, kind: str) -> None:
    """Make a stage of a source, together with the other jobs of the array, or all that is left."""
    failed = []
    for spec in specs:
        if folder.hold() is not None:
            return
        try:
            collect_images(spec, folder.home, Progress(), WorkSelection(stages=_until(spec, kind)))
        except UnfinishedError as unfinished:
            Progress().say(f"done: {unfinished.stage} is another job's")
        except BenchError as error:
            Progress().say(f"{spec.source} for {spec.task}: {error}")
            failed.append(error)
    if failed:
        raise failed[0]


def _until(spec: RunSpec, kind: str) -> frozenset[str] | None:
    """Return a stage and all before it; those after it are made by other jobs."""
    chain = job_stages_of(spec)
    kinds = [names[-1] for names in chain]
    if kind not in kinds:
        return None
    return frozenset(name for names in chain[: kinds.index(kind) + 1] for name in names)


def _report(folder: StudyFolder) -> None:
    """Collect what there is, holes and all, and write the report."""
    from results.database.store import collect
    from results.report.page import write_report

    progress = Progress()
    for reason in collect(folder.home).skipped:
        progress.say(f"skipped {reason}")
    progress.say(f"report: {write_report(folder.home, folder.home.report).html}")
