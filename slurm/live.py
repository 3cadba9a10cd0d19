"""Which of a home's jobs Slurm still has."""

from bench.core.paths import Home
from bench.storage.study_folder import Array, StudyFolder, names
from slurm.queue import Queued
from slurm.submit import COMMENT


def live_jobs(study: StudyFolder, queued: dict[str, Queued]) -> dict[str, tuple[Array, int]]:
    """Return a study's jobs that are not finished: Slurm's name to array and place in it.

    A job is known by its comment: numbers come back where Slurm is set up anew.
    """
    arrays = study.arrays()
    jobs = {}
    for job, found in queued.items():
        array = arrays.get(found.comment.removeprefix(COMMENT))
        if array is not None and found.comment.startswith(COMMENT):
            jobs[job] = (array, int(job.partition("_")[2] or 0))
    return jobs


def live_runs(home: Home, queued: dict[str, Queued]) -> dict[str, str]:
    """Return run id to the name of its job, of all studies' runs that Slurm still has."""
    return {
        run_id: job
        for study in names(home)
        for job, (array, task) in live_jobs(StudyFolder(home, study), queued).items()
        for run_id in (array.tasks[task] if array.kind == "run" else ())
    }


def live_arrays(home: Home, queued: dict[str, Queued]) -> dict[str, str]:
    """Return title to number of the arrays of stages that Slurm still has, of all studies."""
    return {
        array.title: job.partition("_")[0]
        for study in names(home)
        for job, (array, _) in live_jobs(StudyFolder(home, study), queued).items()
        if array.kind not in ("run", "report")
    }
