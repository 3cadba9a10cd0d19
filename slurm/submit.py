"""Executors: the same runs in this process or in processes of their own, through submitit."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bench.errors import BenchError
from bench.files import write_atomic
from bench.paths import Home
from bench.progress import Progress
from bench.run import run
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
    outcomes = _in_process(specs, home, progress) if on == "debug" else None
    if outcomes is None:
        outcomes = _in_processes(specs, home, parallel)
    statuses: dict[str, str] = {}
    with progress.bar("runs", len(specs), "run") as bar:
        for run_id, status in outcomes:
            statuses[run_id] = status
            bar.advance()
    return statuses


def _in_process(
    specs: Sequence[RunSpec], home: Home, progress: Progress
) -> Iterator[tuple[str, str]]:
    for spec in specs:
        try:
            yield spec.run_id, run(spec, home, progress).status
        except BenchError as error:
            progress.say(f"run {spec.run_id} failed: {error}")
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
