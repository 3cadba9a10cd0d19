"""Slurm's queue: the jobs in it, which of them are a study's, and commands to change it."""

import subprocess
from collections.abc import Collection
from dataclasses import dataclass

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.storage.study_folder import Array, StudyFolder, names

COMMENT = "bench:"
"""Prefix of our jobs' comments; the name of the array's file follows."""

_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Queued:
    """A job that Slurm has not finished.

    Attributes:
        state: ``PENDING``, ``RUNNING``, …
        reason: Why it waits; ``None`` if it does not.
        comment: The comment it was submitted with.
    """

    state: str
    reason: str
    comment: str


def queue() -> dict[str, Queued]:
    """Return the user's unfinished jobs by name: ``123``, or ``123_4`` in an array.

    Raises:
        RequestError: If Slurm is not installed here.
        BenchError: If Slurm does not answer.
    """
    jobs = {}
    command = ["squeue", "--me", "--noheader", "--array", "--format=%F|%K|%T|%r|%k"]
    for line in _ask(command).splitlines():
        fields = line.split("|", 4)
        # A comment may be of two lines; a job that is ending is no longer in the queue.
        if len(fields) < 5 or fields[2] == "COMPLETING":
            continue
        job, task, state, reason, comment = fields
        jobs[job if task == "N/A" else f"{job}_{task}"] = Queued(state, reason, comment)
    return jobs


def live_jobs(study: StudyFolder, queued: dict[str, Queued]) -> dict[str, tuple[Array, int]]:
    """Return a study's unfinished jobs: name to array and index in it.

    A job is recognised by its comment, since a new Slurm installation uses job numbers again.
    """
    arrays = study.arrays()
    jobs = {}
    for name, job in queued.items():
        array = arrays.get(job.comment.removeprefix(COMMENT))
        if array is not None and job.comment.startswith(COMMENT):
            jobs[name] = (array, int(name.partition("_")[2] or 0))
    return jobs


def live_runs(home: Home, queued: dict[str, Queued]) -> dict[str, str]:
    """Return run id to job name for the unfinished runs of all studies."""
    return {
        run_id: job
        for study in names(home)
        for job, (array, index) in live_jobs(StudyFolder(home, study), queued).items()
        for run_id in (array.tasks[index] if array.kind == "run" else ())
    }


def live_arrays(home: Home, queued: dict[str, Queued]) -> dict[str, str]:
    """Return title to job number for the unfinished arrays of stages of all studies."""
    return {
        array.title: job.partition("_")[0]
        for study in names(home)
        for job, (array, _) in live_jobs(StudyFolder(home, study), queued).items()
        if array.kind not in ("run", "report")
    }


def max_array_size() -> int:
    """Return how many jobs an array may have; raises as `queue` does."""
    for line in _ask(["scontrol", "show", "config"]).splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize":
            return max(1, int(value))
    raise BenchError(
        "`scontrol show config` does not name MaxArraySize", "check Slurm with `sinfo`"
    )


def cancel(jobs: Collection[str]) -> None:
    """Cancel jobs or whole arrays; raises as `queue` does."""
    if jobs:
        _ask(["scancel", *jobs])


def rename(job: str, name: str) -> None:
    """Rename a job; raises as `queue` does."""
    _ask(["scontrol", "update", f"JobId={job}", f"JobName={name}"])


def _ask(command: list[str]) -> str:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
        )
    except FileNotFoundError as error:
        raise RequestError(
            f"Slurm is not installed here: there is no {command[0]}",
            "use --on local, or a login node of the cluster",
        ) from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        reason = lines[-1] if lines else f"exit code {error.returncode}"
        raise BenchError(f"{command[0]} failed: {reason}", "check Slurm with `sinfo`") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(
            f"{command[0]} did not answer within {_TIMEOUT_SECONDS} s", "try again later"
        ) from error
    return answer.stdout
