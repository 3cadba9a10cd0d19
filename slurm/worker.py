"""A worker: it executes one run after another. Every executor comes down to this loop."""

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from bench.core.errors import BenchError, TooFewImagesError
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.records import TOO_FEW_IMAGES
from bench.core.specs import RunSpec
from bench.run import run
from bench.runtime import distributed
from bench.storage.run_folder import is_underway
from bench.storage.source_locks import is_collected_elsewhere, parts_of
from bench.storage.study_folder import StudyFolder

_POLL_SECONDS = 0.5


def work(
    specs: Sequence[RunSpec],
    study: StudyFolder,
    progress: Progress,
    run_context: Callable[[RunSpec], AbstractContextManager[None]],
    *,
    wait: bool = True,
) -> Iterator[tuple[RunSpec, str]]:
    """Execute runs; those that another process executes come last. A failure stops no other run.

    Args:
        specs: The runs.
        study: The study they belong to; none is started while it is on hold.
        progress: Where to report.
        run_context: Returns the context in which a run is executed.
        wait: Whether to wait for runs of other processes; otherwise they are left out.

    Yields:
        Each run that was executed or found done, and its state.
    """
    waiting = deque(specs)
    while True:
        is_main = distributed.is_main_process()
        spec = distributed.broadcast(_next(waiting, study, progress, wait) if is_main else None)
        if spec is None:
            return
        with run_context(spec):
            state = _execute(spec, study, progress)
        yield spec, state


def _next(
    waiting: deque[RunSpec], study: StudyFolder, progress: Progress, wait: bool
) -> RunSpec | None:
    """Remove and return the next run to execute; None if there is none."""
    while waiting:
        hold = study.hold()
        if hold is not None:
            progress.say(f"the study {study.name} is on hold: {hold.reason}")
            return None
        spec = _first_ready((spec for spec in waiting if not _is_held(study, spec)), study.home)
        if spec is not None:
            waiting.remove(spec)
            return spec
        if not wait:
            progress.say(f"{len(waiting)} runs are left to the processes that execute them")
            return None
        time.sleep(_POLL_SECONDS)
    return None


def _first_ready(specs: Iterator[RunSpec], home: Home) -> RunSpec | None:
    """Return the first run whose images no other process is making; if there is none, the first.

    Its worker then helps to make the images, or waits for them.
    """
    first: RunSpec | None = None
    busy: dict[tuple[str, frozenset[str]], bool] = {}
    for spec in specs:
        first = first or spec
        arm = spec.task, frozenset({spec.source, *parts_of(spec)})
        if arm not in busy:
            busy[arm] = is_collected_elsewhere(spec, home)
        if not busy[arm]:
            return spec
    return first


def _is_held(study: StudyFolder, spec: RunSpec) -> bool:
    """Return whether another process executes a run; one that only checks the lock is brief."""
    for _ in range(3):
        if not is_underway(study.home, spec.run_id):
            return False
        time.sleep(0.05)
    return True


def _execute(spec: RunSpec, study: StudyFolder, progress: Progress) -> str:
    """Execute a run and return its state; an error is noted in the study."""
    try:
        # A run that failed since the study was submitted, here or elsewhere, is for a retry.
        return run(spec, study.home, progress, since=study.since).state
    except TooFewImagesError as error:  # An expected hole: no reason to pause the study.
        progress.say(f"run {spec.run_id}: {error}")
        return TOO_FEW_IMAGES
    except Exception as error:
        if not isinstance(error, BenchError):
            traceback.print_exc()
        message = str(error) if isinstance(error, BenchError) else repr(error)
        progress.say(f"run {spec.run_id} failed: {message}")
        if distributed.is_main_process():
            study.fail(spec.run_id, message)
        return "failed"
