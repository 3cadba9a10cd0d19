"""The executors without a cluster: this process, or a few worker processes that share the runs."""

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
from bench.storage.run_folder import failed_record, is_underway, now, record_date, write_record
from bench.storage.study_folder import StudyFolder
from slurm import parallel
from slurm.job import ALL_DEVICES, DEVICES, GRACE_SECONDS, PARENT_LOCK, execute
from slurm.naming import title_of
from slurm.worker import work

_POLL_SECONDS = 0.25
_BAR_SECONDS = 2.0
_WEEK_MINUTES = 60 * 24 * 7

_MAX_EARLY_EXITS = 3
"""Workers in a row that may end before they begin a run."""

_Environment = dict[str, str]


def in_process(specs: Sequence[RunSpec], study: StudyFolder, progress: Progress) -> None:
    """Execute runs one after another in this process."""
    with progress.bar("runs", len(specs), "run") as bar:
        for _ in work(specs, study, progress, lambda spec: progress.prefixed(title_of(spec))):
            bar.advance()


def in_processes(
    specs: Sequence[RunSpec], study: StudyFolder, progress: Progress, code: Path, limit: int | None
) -> None:
    """Execute runs in worker processes, each of which takes one run after another.

    If a worker is killed, its run fails and another worker takes its place.

    Args:
        specs: The runs.
        study: The study they belong to.
        progress: Where to report.
        code: The copy of the code that the workers execute.
        limit: Workers at a time; None for as many as suit this machine.

    Raises:
        BenchError: If workers end before they begin a run.
    """
    count = min(limit, len(specs)) if limit else parallel.processes_for(specs, study.home)
    with parent_lock(study.path / "jobs") as lock:
        environments = [
            {PARENT_LOCK: str(lock), **_environment(specs, study.home, code, index, count)}
            for index in range(count)
        ]
        _supervise(specs, study, progress, environments)


@contextmanager
def parent_lock(folder: Path) -> Iterator[Path]:
    """Hold a lock that tells workers that this process lives; yield its path."""
    folder.mkdir(parents=True, exist_ok=True)
    # Two containers that share a home may have equal process ids.
    path = folder / f".{os.getpid()}-{secrets.token_hex(8)}.lock"
    try:
        with FileLock(path):
            yield path
    finally:
        path.unlink(missing_ok=True)


def _supervise(
    specs: Sequence[RunSpec],
    study: StudyFolder,
    progress: Progress,
    environments: Sequence[_Environment],
) -> None:
    """Start a worker for each environment, and another wherever one is killed."""
    workers = {
        index: _start(specs, study, index, environments) for index in range(len(environments))
    }
    monitor = _Monitor(specs, study)
    early_exits = 0
    with progress.bar("runs", len(specs), "run") as bar, _interrupting(workers):
        while workers:
            time.sleep(_POLL_SECONDS)
            monitor.count(bar)
            for index, job in list(workers.items()):
                if not job.done():
                    continue
                del workers[index]
                if job.paths.result_pickle.exists():
                    continue
                early_exits = 0 if monitor.mark_killed(job.job_id) else early_exits + 1
                if early_exits == _MAX_EARLY_EXITS:
                    raise BenchError(
                        f"{early_exits} workers ended before their first run",
                        f"see {job.paths.stderr}",
                    )
                workers[index] = _start(specs, study, index, environments)
        monitor.count(bar, now=True)


@contextmanager
def _interrupting(workers: dict[int, Any]) -> Iterator[None]:
    """Interrupt the workers that are left when the block ends, and wait for them."""
    try:
        yield
    finally:
        for job in workers.values():
            job.cancel()
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and not all(job.done() for job in workers.values()):
            time.sleep(_POLL_SECONDS)


class _Monitor:
    """Counts the runs that end, and fails those whose worker was killed."""

    def __init__(self, specs: Sequence[RunSpec], study: StudyFolder) -> None:
        self._study = study
        self._specs = {spec.run_id: spec for spec in specs}
        self._dates = {run_id: record_date(study.home, run_id) for run_id in self._specs}
        self._next_count = 0.0
        self._started = now()

    def count(self, bar: Bar, *, now: bool = False) -> None:
        """Advance the bar by the runs whose record is new."""
        if not now and time.monotonic() < self._next_count:
            return
        dates, home = self._dates, self._study.home
        ended = [run_id for run_id, date in dates.items() if record_date(home, run_id) != date]
        for run_id in ended:
            del dates[run_id]
        bar.advance(len(ended))
        self._next_count = time.monotonic() + _BAR_SECONDS

    def mark_killed(self, job: str) -> bool:
        """Record the run of a killed worker as failed; return whether it had one."""
        home = self._study.home
        for run_id, spec in self._specs.items():
            beat = read_heartbeat(home, run_id)
            if beat is None or beat.job != job or is_underway(home, run_id):
                continue
            error = BenchError("its process was killed, perhaps because memory ran out")
            write_record(home, failed_record(spec, self._started, error))
            self._study.fail(run_id, str(error))
            return True
        return False


def _start(
    specs: Sequence[RunSpec],
    study: StudyFolder,
    index: int,
    environments: Sequence[_Environment],
) -> Any:  # noqa: ANN401 (submitit has no types)
    import submitit

    run_ids = [spec.run_id for spec in parallel.ordered(specs, index, len(environments))]
    executor = submitit.LocalExecutor(folder=study.path / "jobs")
    executor.update_parameters(timeout_min=_WEEK_MINUTES)
    with _applied(environments[index]):
        return executor.submit(execute, str(study.home.root), study.name, "run", run_ids)


def _environment(
    specs: Sequence[RunSpec], home: Home, code: Path, index: int, count: int
) -> _Environment:
    """Return the environment variables of one worker: code, threads and GPU."""
    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    if threads.COUNT not in os.environ:
        cores = 1 if parallel.are_small(specs, home) else max(1, threads.cores() // count)
        variables[threads.COUNT] = str(cores)
    gpus = parallel.gpus()
    variables[DEVICES] = ALL_DEVICES if gpus is None else gpus[index % len(gpus)] if gpus else ""
    return variables


@contextmanager
def _applied(environment: _Environment) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
