"""The executors without a cluster: this process, or a few processes that share the runs."""

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.core.progress import Bar, Progress
from bench.core.specs import RunSpec
from bench.runtime import threads
from bench.storage.heartbeat import read_heartbeat
from bench.storage.run_folder import failed_record, is_underway, now, write_record
from bench.storage.study_folder import StudyFolder
from slurm import parallel
from slurm.job import ALL, DEVICES, PARENT, PATIENCE, execute
from slurm.work import title_of, work

_POLL_SECONDS = 0.25

_BAR_SECONDS = 2.0

_WEEK = 60 * 24 * 7

_DEATHS = 3
"""Processes that may end before they come to a run."""


def in_process(specs: Sequence[RunSpec], study: StudyFolder, progress: Progress) -> None:
    """Carry out runs one after another in this process."""
    with progress.bar("runs", len(specs), "run") as bar:
        named = work(specs, study, progress, lambda spec: progress.prefixed(title_of(spec)))
        for _ in named:
            bar.advance()


def in_processes(
    specs: Sequence[RunSpec], study: StudyFolder, progress: Progress, code: Path, most: int | None
) -> None:
    """Carry out runs in processes of their own, each of which takes one run after another.

    A process that is killed fails the run that it was at; another takes its place.

    Args:
        specs: The runs.
        study: What they belong to.
        progress: Where to report.
        code: The copy of the code that they run.
        most: Processes at a time; None for as many as suit this machine.

    Raises:
        BenchError: If processes end before they come to a run.
    """
    count = min(most, len(specs)) if most else parallel.processes_for(specs, study.home)
    wanted = [_wanted(specs, study.home, code, place, count) for place in range(count)]
    with _alive(study.path / "jobs") as lock:
        for environment in wanted:
            environment[PARENT] = str(lock)
        _watched(specs, study, progress, wanted)


@contextmanager
def _alive(folder: Path) -> Iterator[Path]:
    """Hold a lock by which processes know that this one is there, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    # Containers that share a home may give two sweeps one process id.
    path = folder / f".{os.getpid()}-{secrets.token_hex(8)}.lock"
    try:
        with FileLock(path):
            yield path
    finally:
        path.unlink(missing_ok=True)


def _watched(
    specs: Sequence[RunSpec],
    study: StudyFolder,
    progress: Progress,
    wanted: Sequence[dict[str, str]],
) -> None:
    """Start a process for each environment, and another wherever one is killed."""
    count = len(wanted)
    workers = {place: _start(specs, study, place, wanted) for place in range(count)}
    watch = _Watch(specs, study)
    deaths = 0
    with progress.bar("runs", len(specs), "run") as bar, _ended(workers):
        while workers:
            time.sleep(_POLL_SECONDS)
            watch.count(bar)
            for place, job in list(workers.items()):
                if not job.done():
                    continue
                del workers[place]
                if job.paths.result_pickle.exists():
                    continue
                deaths = 0 if watch.mark_killed(job.job_id) else deaths + 1
                if deaths == _DEATHS:
                    raise BenchError(
                        f"{_DEATHS} processes ended before their first run",
                        f"see {job.paths.stderr}",
                    )
                workers[place] = _start(specs, study, place, wanted)
        watch.count(bar, now=True)


@contextmanager
def _ended(workers: dict[int, Any]) -> Iterator[None]:
    """Interrupt the processes that are left when the block ends, and see them end."""
    try:
        yield
    finally:
        for job in workers.values():
            job.cancel()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not all(job.done() for job in workers.values()):
            time.sleep(_POLL_SECONDS)


class _Watch:
    """Which runs have ended, and which were killed."""

    def __init__(self, specs: Sequence[RunSpec], study: StudyFolder) -> None:
        self._study = study
        self._specs = {spec.run_id: spec for spec in specs}
        self._before = {run_id: self._written(run_id) for run_id in self._specs}
        self._next = 0.0
        self._started = now()

    def count(self, bar: Bar, *, now: bool = False) -> None:
        """Count off the runs whose record is new."""
        if not now and time.monotonic() < self._next:
            return
        ended = [run for run, before in self._before.items() if self._written(run) != before]
        for run_id in ended:
            del self._before[run_id]
        bar.advance(len(ended))
        self._next = time.monotonic() + _BAR_SECONDS

    def _written(self, run_id: str) -> int:
        try:
            return (self._study.home.run(run_id) / "record.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def mark_killed(self, job: str) -> bool:
        """Note that the run a killed process was at has failed; return whether there was one."""
        home = self._study.home
        for run_id, spec in self._specs.items():
            beat = read_heartbeat(home, run_id)
            if beat is None or beat.job != job or is_underway(home, run_id):
                continue
            error = BenchError("its process was killed, perhaps for want of memory")
            write_record(home, failed_record(spec, self._started, error))
            self._study.fail(run_id, str(error))
            return True
        return False


def _start(
    specs: Sequence[RunSpec], study: StudyFolder, place: int, wanted: Sequence[dict[str, str]]
) -> Any:  # noqa: ANN401 (submitit has no types)
    import submitit

    ids = [spec.run_id for spec in parallel.ordered(specs, place, len(wanted))]
    executor = submitit.LocalExecutor(folder=study.path / "jobs")
    executor.update_parameters(timeout_min=_WEEK)
    with _environment(wanted[place]):
        return executor.submit(execute, str(study.home.root), study.name, "run", ids)


def _wanted(
    specs: Sequence[RunSpec], home: Home, code: Path, place: int, count: int
) -> dict[str, str]:
    """Return what a process is to find in its environment."""
    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    wanted = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    if threads.COUNT not in os.environ:
        share = 1 if parallel.are_small(specs, home) else max(1, threads.cores() // count)
        wanted[threads.COUNT] = str(share)
    found = parallel.gpus()
    # submitit hides all of them.
    wanted[DEVICES] = ALL if found is None else found[place % len(found)] if found else ""
    return wanted


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
