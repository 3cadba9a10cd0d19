"""The status of a study: one row per run, from its files and Slurm's queue."""

import time
from dataclasses import dataclass

from bench.core.duration import format_duration
from bench.core.errors import BenchError
from bench.core.progress import printable
from bench.core.records import TOO_FEW_IMAGES
from bench.storage.heartbeat import Heartbeat, read_heartbeat
from bench.storage.run_folder import Summary, is_underway, summaries
from bench.storage.study_folder import Array, StudyFolder
from slurm.queue import Queued, live_jobs, live_runs, queue
from slurm.reasons import STUCK
from slurm.waiting import Waiting, fates_of, note_of, waiting

HELD = "held"
"""The state of a run whose job does not start by itself."""

UNKNOWN = "unknown"
"""The state of a run that may be in Slurm's queue, while Slurm does not answer."""

STATES = (
    *("running", "stalled", HELD, "queued", UNKNOWN),
    *("failed", "to do", TOO_FEW_IMAGES, "done"),
)

STALLED_SECONDS = 900.0
"""A run that has not reported for so long is stalled; large test splits take minutes."""


@dataclass(frozen=True)
class Row:
    """The status of one run.

    Attributes:
        run_id: The run's id.
        title: The run's title.
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
    """The status of a study.

    Attributes:
        rows: Its runs.
        stages: Title to number of running and of waiting jobs, for jobs that are no runs.
        hold: Why the study is on hold; empty if it is not.
        queue_error: Why Slurm's queue is unknown; empty if it is known.
        waiting: What its jobs wait for, runs and others.
    """

    rows: list[Row]
    stages: dict[str, tuple[int, int]]
    hold: str
    queue_error: str
    waiting: list[Waiting]


def status_of(study: StudyFolder) -> Status:
    """Return the status of a study.

    Raises:
        RequestError: If there is no such study.
    """
    view = _View(study)
    hold = study.hold()
    stages = _stages(live_jobs(study, view.queued), view.queued)
    groups = waiting(study, view.queued)
    return Status(view.rows(), stages, hold.reason if hold else "", view.queue_error, groups)


class _View:
    """The files and the queue from which the status of a study's runs is read."""

    def __init__(self, study: StudyFolder) -> None:
        self._study = study
        self._submitted = study.submitted()
        self.queue_error = ""
        self.queued: dict[str, Queued] = {}
        if study.arrays():
            try:
                self.queued = queue()
            except BenchError as error:
                self.queue_error = str(error)
        self._live = live_runs(study.home, self.queued) if self.queued else {}
        self._fates = fates_of(self.queued)
        self._records = summaries(study.home, list(self._submitted.runs))
        self._failures = study.failures()
        hold = study.hold()
        self._cancelled = hold is not None and hold.by == "user"
        self._last_jobs = {} if hold else self._last_submitted()

    def _last_submitted(self) -> dict[str, str]:
        """Return run id to job of the last submission."""
        if self._submitted.on != "slurm":
            return {}
        return {
            run_id: array.job_of(task)
            for array in self._study.arrays(latest=True).values()
            for task, run_ids in enumerate(array.tasks)
            for run_id in (run_ids if array.kind == "run" and array.job else ())
        }

    def rows(self) -> list[Row]:
        """Return one row per run, in the study's order."""
        rows = []
        for run_id, title in self._submitted.runs.items():
            summary = self._records.get(run_id)
            if summary is not None and summary.status == "done":
                rows.append(Row(run_id, title, "done"))
                continue
            job = self._live.get(run_id, "")
            state, note = self._state(run_id, job, summary)
            rows.append(Row(run_id, title, state, printable(note), job))
        return rows

    def _state(self, run_id: str, job: str, summary: Summary | None) -> tuple[str, str]:
        """Return state and note of a run that is not done."""
        queued = self.queued.get(job)
        beat = read_heartbeat(self._study.home, run_id)
        if beat is not None and is_underway(self._study.home, run_id):
            return _moving(beat)
        if summary is not None and summary.too_few_images:
            return TOO_FEW_IMAGES, summary.error
        if run_id in self._failures:
            return "failed", self._failures[run_id].error
        if queued is not None:
            beat = beat if beat and beat.job == job else None
            return self._waiting(job) if queued.waits else _started(queued, beat)
        return self._ended(run_id, beat, summary)

    def _ended(
        self, run_id: str, beat: Heartbeat | None, summary: Summary | None
    ) -> tuple[str, str]:
        """Return state and note of a run that no process executes and Slurm does not name."""
        if self._cancelled:
            return "to do", "cancelled" if beat else ""
        failed_before = summary is not None and summary.status == "failed"
        if self.queue_error and run_id in self._last_jobs and not failed_before:
            return UNKNOWN, f"job {self._last_jobs[run_id]} may be in Slurm's queue"
        error = self._error_of(run_id, beat, summary)
        return ("failed", error) if error else ("to do", "")

    def _waiting(self, job: str) -> tuple[str, str]:
        """Return state and note of a run whose job waits."""
        fate = self._fates[job]
        return HELD if fate in STUCK else "queued", note_of(self.queued[job], fate)

    def _error_of(self, run_id: str, beat: Heartbeat | None, summary: Summary | None) -> str:
        """Return how a run failed that no process executes; empty if it was not started."""
        if summary is not None and summary.status == "failed":
            return summary.error
        if beat is not None:
            return f"ended without a record, last seen {_ago(beat)} at {beat.label}"
        if run_id in self._last_jobs:
            return f"job {self._last_jobs[run_id]} ended before the run started"
        return ""


def _started(queued: Queued, beat: Heartbeat | None) -> tuple[str, str]:
    """Return state and note of a run whose job has started and whose lock is free."""
    if queued.state != "RUNNING":
        return "running", printable(queued.state.lower())
    return _moving(beat)


def _moving(beat: Heartbeat | None) -> tuple[str, str]:
    if beat is None:
        return "running", "starting"
    if time.time() - beat.at > STALLED_SECONDS:
        return "stalled", f"{beat.label}, last seen {_ago(beat)} on {beat.host}"
    return "running", describe(beat)


def describe(beat: Heartbeat) -> str:
    """Return a run's step, progress, speed and time left."""
    parts = [beat.label]
    if beat.epochs:
        parts.append(f"epoch {beat.epoch} of {beat.epochs}")
    if beat.total:
        parts.append(f"{beat.done:,} of {beat.total:,} {beat.unit}s")
    if beat.rate:
        digits = 0 if beat.rate >= 10 else 2
        parts.append(f"{beat.rate:,.{digits}f} {beat.unit}s/s")
    if beat.eta_seconds is not None:
        parts.append(f"{format_duration(beat.eta_seconds)} left")
    return ", ".join([*parts, f"on {beat.host}"])


def _ago(beat: Heartbeat) -> str:
    return f"{format_duration(max(0.0, time.time() - beat.at))} ago"


def _stages(
    jobs: dict[str, tuple[Array, int]], queued: dict[str, Queued]
) -> dict[str, tuple[int, int]]:
    """Return title to number of running and of waiting jobs, for jobs that are no runs."""
    counts: dict[str, tuple[int, int]] = {}
    for job, (array, _) in jobs.items():
        if array.kind == "run":
            continue
        running, pending = counts.get(array.title, (0, 0))
        waits = queued[job].waits
        counts[array.title] = (running + (not waits), pending + waits)
    return counts
