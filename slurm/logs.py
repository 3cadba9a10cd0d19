"""Log files: one per run, and Slurm's own for jobs that never began their run."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.core.paths import Home
from bench.runtime import distributed
from bench.storage.run_folder import now
from bench.storage.study_folder import StudyFolder, names

_NAME = "log.txt"


@contextmanager
def logged(home: Home, run_id: str) -> Iterator[None]:
    """Append the output of this process and its children to the run's log, within the block."""
    path = home.run(run_id) / _NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as stream:
        stream.write(f"\n=== {now()} {distributed.job() or 'process'} {os.getpid()}\n".encode())
        with _redirected(stream.fileno()):
            yield


@contextmanager
def _redirected(target: int) -> Iterator[None]:
    copies = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        for descriptor in (1, 2):
            os.dup2(target, descriptor)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in zip((1, 2), copies, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def logs_of(home: Home, run_id: str) -> list[Path]:
    """Return the run's log; if it has none, the logs of the jobs submitted for it."""
    path = home.run(run_id) / _NAME
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
