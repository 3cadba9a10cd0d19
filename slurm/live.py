"""Which of a home's jobs Slurm still has."""

from bench.paths import Home
from bench.studies import Array, StudyFolder, names
from slurm.queue import Queued, queue
from slurm.submit import COMMENT


def live_jobs(study: StudyFolder, queued: dict[str, Queued]) -> dict[str, tuple[Array, int]]:
    """Return a study's jobs that are not finished: Slurm's name to array and place in it."""
    jobs = {}
    named = {
        job.comment.removeprefix(COMMENT): name.split("_")[0]
        for name, job in queued.items()
        if job.comment.startswith(COMMENT)
    }
    for name, array in study.arrays().items():
        number = array.job or named.get(name, "")
        for task in range(len(array.tasks)) if number else ():
            job = number if len(array.tasks) == 1 else f"{number}_{task}"
            if job in queued:
                jobs[job] = (array, task)
    return jobs


def live_runs(home: Home, queued: dict[str, Queued] | None = None) -> dict[str, str]:
    """Return run id to the name of its job, of all studies' runs that Slurm still has."""
    queued = queue() if queued is None else queued
    found = {}
    for name in names(home):
        for job, (array, task) in live_jobs(StudyFolder(home, name), queued).items():
            if array.kind == "run":
                found.update(dict.fromkeys(array.tasks[task], job))
    return found
