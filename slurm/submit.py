"""Executors: the same runs in this process or in processes of their own, through submitit."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bench.files import write_atomic
from bench.paths import Home
from bench.progress import Progress
from bench.records import is_underway, read_record
from bench.run import run
from bench.size import format_size
from bench.types import RunSpec
from slurm.job import run_spec

EXECUTORS = ("debug", "local")

_POLL_SECONDS = 0.5


def execute(
    specs: Sequence[RunSpec], home: Home, progress: Progress, on: str, parallel: int
) -> dict[str, str]:
    """Carry out runs; a failing one does not stop the others.

    Args:
        specs: The runs, `bench.run.pinned`.
        home: Where they are kept.
        progress: Where to report.
        on: ``debug`` for this process, ``local`` for a process per run.
        parallel: Processes at a time, for ``local``.

    Returns:
        Run id to status.
    """
    finished = {spec.run_id for spec in specs if _is_done(spec, home)}
    missing = [spec for spec in specs if spec.run_id not in finished]
    outcomes = (
        _in_process(missing, home, progress)
        if on == "debug"
        else _in_processes(missing, home, parallel)
    )
    statuses = dict.fromkeys(finished, "done")
    with progress.bar("runs", len(specs), "run") as bar:
        bar.advance(len(finished))
        for run_id, status in outcomes:
            statuses[run_id] = status
            bar.advance()
    return statuses


def _is_done(spec: RunSpec, home: Home) -> bool:
    record = read_record(home, spec.run_id)
    return record is not None and record.status == "done"


def _in_process(
    specs: Sequence[RunSpec], home: Home, progress: Progress
) -> Iterator[tuple[str, str]]:
    waiting = deque(specs)
    while waiting:
        # Several sweeps of one study share its runs: what another is at comes last.
        for _ in range(len(waiting)):
            if not is_underway(home, waiting[0].run_id):
                break
            waiting.rotate(-1)
        spec = waiting.popleft()
        name = f"{spec.task} {spec.source} n={format_size(spec.n)} seed={spec.seed}"
        try:
            with progress.prefixed(name):
                status = run(spec, home, progress).status
            yield spec.run_id, status
        except Exception as error:  # whatever it was stands in the run's record
            progress.say(f"run {spec.run_id} failed: {error!r}")
            yield spec.run_id, "failed"


def _in_processes(specs: Sequence[RunSpec], home: Home, parallel: int) -> Iterator[tuple[str, str]]:
    import submitit

    executor = submitit.AutoExecutor(folder=home.root / "logs" / "%j", cluster="local")
    executor.update_parameters(timeout_min=60 * 24 * 7)
    waiting = list(specs)
    running: dict[str, Any] = {}
    while waiting or running:
        while waiting and len(running) < parallel:
            spec = waiting.pop(0)
            path = home.run(spec.run_id) / "spec.json"
            write_atomic(path, msgspec.json.format(msgspec.json.encode(spec)))
            running[spec.run_id] = executor.submit(run_spec, str(home.root), spec.run_id)
        for run_id, job in list(running.items()):
            if job.done():
                del running[run_id]
                yield run_id, "failed" if job.exception() else str(job.result())
        time.sleep(_POLL_SECONDS)
