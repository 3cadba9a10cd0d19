"""How a study is doing: one row per run, from its files and from Slurm's queue."""

import time
from dataclasses import dataclass

from bench.heartbeat import Heartbeat, read_heartbeat
from bench.records import Summary, is_underway, summaries
from bench.studies import Array, Failure, StudyFolder
from slurm.live import live_jobs, live_runs
from slurm.queue import Queued, queue

STATES = ("running", "stalled", "queued", "failed", "to do", "done")

STALLED_SECONDS = 900.0
"""A run that has not moved on for so long is stalled; large test splits take minutes."""


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        run_id: Which.
        title: What it is called.
        state: One of `STATES`.
        note: Its progress, its error, or why it waits.
        job: Slurm's name of its job, if it has one.
    """

    run_id: str
    title: str
    state: str
    note: str = ""
    job: str = ""


@dataclass(frozen=True)
class Status:
    """A study.

    Attributes:
        rows: Its runs.
        stages: Its jobs that are no runs and not finished: title to how many run and how many wait.
        hold: Why no run is started, if that is so.
    """

    rows: list[Row]
    stages: dict[str, tuple[int, int]]
    hold: str


def status_of(study: StudyFolder) -> Status:
    """Return how a study is doing.

    Raises:
        RequestError: If there is no such study, or it is Slurm's and Slurm is not here.
        BenchError: If Slurm does not answer.
    """
    submitted = study.submitted()
    queued = queue() if submitted.on == "slurm" else {}
    live = live_runs(study.home, queued) if queued else {}
    known = summaries(study.home, list(submitted.runs))
    failures = study.failures()
    rows = []
    for run_id, title in submitted.runs.items():
        summary = known.get(run_id)
        if summary is not None and summary.status == "done":
            rows.append(Row(run_id, title, "done"))
            continue
        job = live.get(run_id, "")
        state, note = _state(study, run_id, queued.get(job), summary, failures.get(run_id))
        rows.append(Row(run_id, title, state, note, job))
    hold = study.hold()
    return Status(rows, _stages(live_jobs(study, queued), queued), hold.reason if hold else "")


def _state(
    study: StudyFolder,
    run_id: str,
    queued: Queued | None,
    summary: Summary | None,
    failure: Failure | None,
) -> tuple[str, str]:
    """Return state and note of a run that is not done."""
    if queued is not None and queued.state != "RUNNING":
        return "queued", "" if queued.reason == "None" else queued.reason
    beat = read_heartbeat(study.home, run_id)
    if queued is not None or (beat is not None and is_underway(study.home, run_id)):
        return _moving(beat)
    if failure is not None:
        return "failed", failure.error
    if summary is not None and summary.status == "failed":
        return "failed", summary.error
    if beat is not None:
        return "failed", f"it ended without a word, {_ago(beat)} at {beat.label}"
    return "to do", ""


def _moving(beat: Heartbeat | None) -> tuple[str, str]:
    if beat is None:
        return "running", "starting"
    if time.time() - beat.at > STALLED_SECONDS:
        return "stalled", f"{beat.label}, last seen {_ago(beat)} on {beat.host}"
    return "running", describe(beat)


def describe(beat: Heartbeat) -> str:
    """Return what a run was at, how fast, and how long that takes."""
    parts = [beat.label]
    if beat.epochs:
        parts.append(f"epoch {beat.epoch} of {beat.epochs}")
    if beat.total:
        parts.append(f"{beat.done:,} of {beat.total:,} {beat.unit}s")
    if beat.rate:
        digits = 0 if beat.rate >= 10 else 2
        parts.append(f"{beat.rate:,.{digits}f} {beat.unit}s/s")
    if beat.eta_seconds is not None:
        parts.append(f"{_duration(beat.eta_seconds)} left")
    return ", ".join([*parts, f"on {beat.host}"])


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def _ago(beat: Heartbeat) -> str:
    return f"{_duration(max(0.0, time.time() - beat.at))} ago"


def _stages(
    jobs: dict[str, tuple[Array, int]], queued: dict[str, Queued]
) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for job, (array, _) in jobs.items():
        if array.kind == "run":
            continue
        running, waiting = found.get(array.title, (0, 0))
        runs = queued[job].state == "RUNNING"
        found[array.title] = (running + runs, waiting + (not runs))
    return found
