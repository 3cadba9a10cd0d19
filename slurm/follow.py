"""Following a study's jobs until Slurm has none of them any more."""

import time

from bench.core.errors import BenchError, RequestError
from bench.core.progress import Progress
from bench.storage.study_folder import StudyFolder
from slurm.queue import Queued, live_jobs, queue
from slurm.reasons import STUCK, Fate
from slurm.waiting import Waiting, waiting

POLL_SECONDS = 5.0

_PATIENCE = 3
"""How often in a row nothing may move: a requeued job may look held for a moment."""


def follow(study: StudyFolder, progress: Progress) -> None:
    """Wait until Slurm has no job of a study any more; report changes, and what jobs wait for.

    Raises:
        RequestError: If Slurm is not installed here.
        BenchError: If no job runs and none will start by itself.
    """
    reported: list[str] = []
    still = 0
    while True:
        try:
            queued = queue()
        except RequestError:
            raise
        except BenchError as error:  # A controller that starts again is no reason to give up.
            lines = [f"Slurm does not answer, and is asked again: {error}"]
            reported = _report(lines, reported, progress)
        else:
            jobs = live_jobs(study, queued)
            if not jobs:
                return
            groups = waiting(study, queued)
            reported = _report(_lines([queued[job] for job in jobs], groups), reported, progress)
            stuck = [group for group in groups if group.fate in STUCK]
            still = still + 1 if sum(len(group.jobs) for group in stuck) == len(jobs) else 0
            if still == _PATIENCE:
                problems = "; ".join(group.problem for group in stuck)
                raise BenchError(f"no job will start by itself: {problems}", stuck[0].remedy)
        time.sleep(POLL_SECONDS)


def _report(lines: list[str], reported: list[str], progress: Progress) -> list[str]:
    """Say what was not said last time; return what was said now."""
    for line in lines:
        if line not in reported:
            progress.say(line)
    return lines


def _lines(jobs: list[Queued], groups: list[Waiting]) -> list[str]:
    states = [job.state.lower() for job in jobs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    return [f"jobs: {counts}", *(g.sentence for g in groups if g.fate is not Fate.PASSES)]
