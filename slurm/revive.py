"""Jobs of a study that do not start by themselves: released, or cancelled to be submitted anew."""

from dataclasses import dataclass

from bench.core.errors import BenchError
from bench.storage.study_folder import StudyFolder
from slurm.queue import cancel, live_jobs, queue, release
from slurm.reasons import Fate
from slurm.waiting import dependents, fates_of, numbers_of


@dataclass(frozen=True)
class Revived:
    """What became of a study's jobs that did not start by themselves.

    Attributes:
        released: The jobs that were held and are not any more.
        refused: The jobs that are held still.
        why: What Slurm said to that; empty if it said nothing.
        cancelled: The jobs that could never start, and those that waited for them.
        runs: The runs of the cancelled jobs, to be submitted anew.
    """

    released: list[str]
    refused: list[str]
    why: str
    cancelled: list[str]
    runs: set[str]


def revive(study: StudyFolder) -> Revived:
    """Release a study's held jobs, and cancel those that can never start.

    Jobs that wait for the latter are cancelled too: they would start, and do the work of the
    others. No job is both released and cancelled.

    Raises:
        RequestError: If Slurm is not installed here.
        BenchError: If Slurm does not answer.
    """
    with study.submitting():
        queued = queue()
        jobs = live_jobs(study, queued)
        fates = fates_of(queued)
        never = [job for job in jobs if fates.get(job) is Fate.NEVER]
        after = [job for job in dependents(numbers_of(never), queued) if job in jobs]
        # First those after: none is to start because what it waits for is gone.
        cancel([job for job in after if job not in never])
        cancel(never)
        cancelled = list(dict.fromkeys([*never, *after]))
        held = [job for job in jobs if fates.get(job) is Fate.HELD and job not in cancelled]
        refused, why = _release(held, study)
    arrays = [jobs[job] for job in cancelled]
    runs = {run for array, task in arrays if array.kind == "run" for run in array.tasks[task]}
    return Revived([job for job in held if job not in refused], refused, why, cancelled, runs)


def _release(held: list[str], study: StudyFolder) -> tuple[list[str], str]:
    """Release jobs; return those that are held still, and what Slurm said."""
    if not held:
        return [], ""
    study.resume()  # On hold, the jobs would end at once.
    why = ""
    try:
        release(held)
    except BenchError as error:  # It may have released some: the queue says which.
        why = error.what
    queued = queue()
    return [job for job in held if job in queued and queued[job].held], why
