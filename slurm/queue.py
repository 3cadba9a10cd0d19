"""Slurm's queue: the jobs in it, which of them are a study's, and commands to change it."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.storage.study_folder import Array, StudyFolder, names

COMMENT = "bench:"
"""Prefix of our jobs' comments; the name of the array's file follows."""

_TIMEOUT_SECONDS = 60


_JOBS_A_COMMAND = 500
"""A command's arguments have an end: Linux gives 128 KiB to one."""

_FORMAT = "%F|%K|%T|%Q|%e|%E|%k|%r"

_NOT_WAITING = ("RUNNING", "SUSPENDED", "STOPPED", "CONFIGURING", "RESIZING", "SIGNALING")
"""States of jobs that have started."""


@dataclass(frozen=True)
class Queued:
    """A job that Slurm has not finished.

    Attributes:
        state: ``PENDING``, ``RUNNING``, …
        reason: Why it waits; ``None`` if it does not.
        comment: The comment it was submitted with.
        after: Numbers of the jobs and arrays that it waits for.
        held: Whether it does not start before it is released: its priority is 0.
    """

    state: str
    reason: str
    comment: str
    after: frozenset[str] = frozenset()
    held: bool = False

    @property
    def waits(self) -> bool:
        """Whether it has not started."""
        return self.state not in _NOT_WAITING


def queue() -> dict[str, Queued]:
    """Return the user's unfinished jobs by name: ``123``, or ``123_4`` in an array.

    Raises:
        RequestError: If Slurm is not installed here.
        BenchError: If Slurm does not answer.
    """
    # Jobs of partitions that are hidden, or are no longer the user's, are jobs too.
    command = ["squeue", "--me", "--noheader", "--array", "--all", f"--format={_FORMAT}"]
    return jobs_in(_ask(command))


def jobs_in(text: str) -> dict[str, Queued]:
    """Return the jobs in what squeue printed in the format of `queue`."""
    jobs = {}
    for line in text.splitlines():
        fields = line.split("|", 7)
        # The comment of someone else's job may be of two lines.
        if len(fields) < 8:
            continue
        number, task, state, priority, end, dependency, comment, reason = fields
        held = priority == "0" and state not in _NOT_WAITING
        if state == "COMPLETING" and not held and not _is_to_come(end):
            continue
        after = frozenset(re.findall(r":(\d+)", dependency))
        name = number if task == "N/A" else f"{number}_{task}"
        jobs[name] = Queued(state, reason, comment, after, held)
    return jobs


def _is_to_come(end: str) -> bool:
    """Return whether a job that is being cleaned up will start again: its end is to come."""
    try:
        return datetime.fromisoformat(end) > datetime.now()  # noqa: DTZ005 (squeue's are local)
    except ValueError:
        return False


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


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs or whole arrays; raises as `queue` does."""
    for start in range(0, len(jobs), _JOBS_A_COMMAND):
        _ask(["scancel", *jobs[start : start + _JOBS_A_COMMAND]])


def release(jobs: Sequence[str]) -> None:
    """Release held jobs; raises as `queue` does, or if Slurm does not allow it."""
    for start in range(0, len(jobs), _JOBS_A_COMMAND):
        _ask(["scontrol", "release", ",".join(jobs[start : start + _JOBS_A_COMMAND])])


def rename(job: str, name: str) -> None:
    """Rename a job; raises as `queue` does."""
    _ask(["scontrol", "update", f"JobId={job}", f"JobName={name}"])


def _ask(command: list[str]) -> str:
    # SQUEUE_STATES, SQUEUE_PARTITION and their like would hide jobs; SLURM_TIME_FORMAT, their ends.
    hiding = ("SQUEUE_", "SLURM_TIME_FORMAT")
    shown = {name: value for name, value in os.environ.items() if not name.startswith(hiding)}
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=True,
            env=shown,
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
