"""Runs one after another in one process: what every executor comes down to."""

import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.core.progress import Progress, printable
from bench.core.size import format_size
from bench.core.specs import RunSpec
from bench.planning.differences import differences
from bench.plugins import source_of
from bench.plugins.optional import HasJobStages
from bench.run import run
from bench.runtime import distributed
from bench.storage.run_folder import is_underway, now
from bench.storage.source_locks import is_collected_elsewhere, parts_of
from bench.storage.study_folder import StudyFolder, names

LOG = "log.txt"

_POLL_SECONDS = 0.5


def title_of(spec: RunSpec) -> str:
    """Return the words that name a run."""
    return printable(f"{spec.task} {spec.source} n={format_size(spec.n)} seed={spec.seed}")


def titles(specs: Sequence[RunSpec]) -> dict[str, str]:
    """Return, by run id, the words that tell a study's runs from each other."""
    return {
        spec.run_id: printable(
            " ".join([title_of(spec), *(f"{name}={value}" for name, value in own.items())])
        )
        for spec, own in zip(specs, differences(specs), strict=True)
    }


def name_of(spec: RunSpec) -> str:
    """Return what a run's job is called."""
    return printable(f"{spec.task}/{spec.source}/{format_size(spec.n)}/{spec.seed}")


def job_stages_of(spec: RunSpec) -> tuple[tuple[str, ...], ...]:
    """Return the stages of a run's source that jobs of their own make; empty for most sources."""
    source = source_of(spec.source, spec.options)
    return source.job_stages if isinstance(source, HasJobStages) else ()


def work(
    specs: Sequence[RunSpec],
    study: StudyFolder,
    progress: Progress,
    around: Callable[[RunSpec], AbstractContextManager[None]],
    *,
    wait: bool = True,
) -> Iterator[tuple[RunSpec, str]]:
    """Carry out runs, those that another process is at last; a failing one stops no other.

    Args:
        specs: The runs.
        study: What they belong to; while it is on hold, none is started.
        progress: Where to report.
        around: What to do before and after a run.
        wait: Whether to wait for other processes; if not, what they are at is left to them.

    Yields:
        Each run that was started or found done, and its status.
    """
    waiting = deque(specs)
    while True:
        if distributed.is_main_process():
            spec = distributed.broadcast(_next(waiting, study, progress, wait))
        else:
            spec = distributed.broadcast(None)
        if spec is None:
            return
        with around(spec):
            status = _attempt(spec, study, progress)
        yield spec, status


def _next(
    waiting: deque[RunSpec], study: StudyFolder, progress: Progress, wait: bool
) -> RunSpec | None:
    """Take the next run from those that wait; None if there is none to start."""
    while waiting:
        hold = study.hold()
        if hold is not None:
            progress.say(f"the study {study.name} is on hold: {hold.reason}")
            return None
        free = (spec for spec in waiting if not _is_held(study, spec))
        spec = _first_ready(free, study.home)
        if spec is not None:
            waiting.remove(spec)
            return spec
        if waiting and not wait:
            progress.say(f"other processes are at {len(waiting)} runs, which are left to them")
            return None
        time.sleep(_POLL_SECONDS)
    return None


def _first_ready(specs: Iterator[RunSpec], home: Home) -> RunSpec | None:
    """Return the first run whose images no other process is making; if there is none, the first.

    Whoever takes the first then helps to make them, or waits.
    """
    first: RunSpec | None = None
    made: dict[tuple[str, frozenset[str]], bool] = {}
    for spec in specs:
        first = first or spec
        arm = spec.task, frozenset({spec.source, *parts_of(spec)})
        if arm not in made:
            made[arm] = is_collected_elsewhere(spec, home)
        if not made[arm]:
            return spec
    return first


def _is_held(study: StudyFolder, spec: RunSpec) -> bool:
    """Return whether another process is at a run, and not only looking whether one is."""
    for _ in range(3):
        if not is_underway(study.home, spec.run_id):
            return False
        time.sleep(0.05)
    return True


def _attempt(spec: RunSpec, study: StudyFolder, progress: Progress) -> str:
    try:
        # What failed since the study was submitted, here or elsewhere, is for a retry.
        return run(spec, study.home, progress, since=study.since).status
    except Exception as error:  # whatever it was stands in the run's record
        if not isinstance(error, BenchError):
            traceback.print_exc()
        said = str(error) if isinstance(error, BenchError) else repr(error)
        progress.say(f"run {spec.run_id} failed: {said}")
        if distributed.is_main_process():
            study.fail(spec.run_id, said)
        return "failed"


@contextmanager
def logged(home: Home, run_id: str) -> Iterator[None]:
    """Send all that this process and its children write to the end of the run's log."""
    path = home.run(run_id) / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as stream:
        stream.write(f"\n=== {now()} {distributed.job() or 'process'} {os.getpid()}\n".encode())
        with _redirected(stream.fileno()):
            yield


@contextmanager
def _redirected(target: int) -> Iterator[None]:
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        for descriptor in (1, 2):
            os.dup2(target, descriptor)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)


def logs_of(home: Home, run_id: str) -> list[Path]:
    """Return where a run's log is; without one, the logs of the jobs that were to carry it out."""
    path = home.run(run_id) / LOG
    if path.is_file():
        return [path]
    return [
        log
        for study in (StudyFolder(home, name) for name in names(home))
        for array in study.arrays().values()
        for task, run_ids in enumerate(array.tasks)
        if array.job and run_id in run_ids
        for log in sorted((study.path / "jobs").glob(f"{array.job_of(task)}_*_log.out"))
    ]
