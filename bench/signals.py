"""What helper processes hear of the signals that Slurm sends to every process of a job's step.

Before a time limit or a preemption that is SIGUSR1 or SIGUSR2 (`sbatch --signal`), or SIGTERM. The
run's own process has to act on it: helpers would die of it and fail the run, or, being forks, take
the signal for their own and requeue the job once more.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_from_helpers() -> Iterator[None]:
    """Let processes started in the block never see SIGUSR1 and SIGUSR2; we miss none."""
    with _blocked(signal.SIGUSR1, signal.SIGUSR2):
        yield


@contextmanager
def kept_from_workers() -> Iterator[None]:
    """Do so for forks that call `heed_parent_alone`, and keep SIGTERM from them too.

    submitit's jobs work on after SIGTERM, until SIGKILL; they need their workers for that.
    """
    with kept_from_helpers(), _blocked(signal.SIGTERM):
        yield


def heed_parent_alone(_: int = 0) -> None:
    """End this process, started in `kept_from_workers`, on a SIGTERM from its parent only."""
    threading.Thread(target=_await_parent, args=(os.getppid(),), daemon=True).start()


def _await_parent(parent: int) -> None:
    # Only Linux tells the sender, and only there is Slurm.
    if sys.platform == "linux":
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
    else:
        signal.sigwait({signal.SIGTERM})
    os._exit(0)


@contextmanager
def _blocked(*signals: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
