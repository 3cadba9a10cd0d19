"""What Slurm says: its queue, its limits; and what it is told: to cancel."""

import subprocess
from collections.abc import Collection
from dataclasses import dataclass

from bench.core.errors import BenchError, RequestError

_SECONDS = 60


@dataclass(frozen=True)
class Queued:
    """One job that Slurm has not finished.

    Attributes:
        state: ``PENDING``, ``RUNNING``, …
        reason: Why it waits; ``None`` if it does not.
        comment: What it was submitted with.
    """

    state: str
    reason: str
    comment: str


def queue() -> dict[str, Queued]:
    """Return the user's jobs that are not finished, by name: ``123``, or ``123_4`` in an array.

    Raises:
        RequestError: If there is no Slurm here.
        BenchError: If it does not answer.
    """
    found = {}
    words = ["squeue", "--me", "--noheader", "--array", "--format=%F|%K|%T|%r|%k"]
    for line in _ask(words).splitlines():
        parts = line.split("|", 4)
        # A comment may be of two lines; one that is ending is no longer in the queue.
        if len(parts) < 5 or parts[2] == "COMPLETING":
            continue
        job, task, state, reason, comment = parts
        name = job if task == "N/A" else f"{job}_{task}"
        found[name] = Queued(state, reason, comment)
    return found


def max_array_size() -> int:
    """Return how many jobs one array may have; raises as `queue` does."""
    for line in _ask(["scontrol", "show", "config"]).splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize":
            return max(1, int(value))
    raise BenchError("Slurm does not say its MaxArraySize")


def cancel(jobs: Collection[str]) -> None:
    """Cancel jobs, or whole arrays of them; raises as `queue` does."""
    if jobs:
        _ask(["scancel", *jobs])


def rename(job: str, name: str) -> None:
    """Give a job another name; raises as `queue` does."""
    _ask(["scontrol", "update", f"JobId={job}", f"JobName={name}"])


def _ask(words: list[str]) -> str:
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except FileNotFoundError as error:
        raise RequestError(
            f"there is no {words[0]} here, so no Slurm", "use --on local, or go to a login node"
        ) from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise BenchError(f"{words[0]} says: {said[-1] if said else error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{words[0]} has not answered for {_SECONDS} s", "try later") from error
    return answer.stdout
