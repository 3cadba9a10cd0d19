"""What processes make of the signals that Slurm sends to every process of a job's step.

Before a time limit or a preemption that is SIGUSR1 or SIGUSR2 (`sbatch --signal`), or SIGTERM. The
run's own process has to act on it, when what it has done is saved (`noticed`): helpers would die of
it and fail the run, or, being forks, take the signal for their own and requeue the job once more.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


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


NOTICE = "BENCH_NOTICE_SECONDS"
"""In the environment of a job: how long before its end it is told, by SIGUSR2."""


class Notice:
    """Whether this process was told that it is about to be ended.

    Attributes:
        given: Whether it was.
    """

    def __init__(self) -> None:
        self.given = False
        self._leave: Callable[[int, FrameType | None], Any] | None = None

    def leave(self) -> None:
        """Do what the one who set the handler would have done at once: a job requeues, and ends.

        It is done once, however often this is called and the signal comes.
        """
        leave, self._leave = self._leave, None
        if leave is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            leave(signal.SIGUSR2, None)

    def take(self, leave: Callable[[int, FrameType | None], Any], seconds: float) -> None:
        """Remember what to do, and do it after so many seconds if nobody does before.

        Being told again changes nothing.
        """
        if self.given:
            return
        self.given, self._leave = True, leave
        signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def noticed() -> Iterator[Notice]:
    """Let the handler of SIGUSR2 wait, in the block, until `Notice.leave` is called.

    It waits for half of the notice at most, and once it was run the signal is ignored. Nothing
    changes where nobody handles the signal.
    """
    notice = Notice()
    before = signal.getsignal(signal.SIGUSR2)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield notice
        return
    seconds = float(os.environ.get(NOTICE, "60")) / 2
    alarm = signal.signal(signal.SIGALRM, lambda *_: notice.leave())
    signal.signal(signal.SIGUSR2, lambda *_: notice.take(before, seconds))
    try:
        yield notice
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN if notice.given else before)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        notice.leave()
