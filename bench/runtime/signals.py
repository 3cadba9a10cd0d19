"""Handle the signals that Slurm sends to every process of a job's step.

Before a time limit or a preemption that is SIGUSR1 or SIGUSR2 (`sbatch --signal`), or SIGTERM. The
run's own process has to act on it, once its work is saved (`deferred_notice`). Helper processes
must not: they would die of it and fail the run, or, being forks, requeue the job once more.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def blocked_in_helpers() -> Iterator[None]:
    """Block SIGUSR1 and SIGUSR2 in processes started in the block; this process misses none."""
    with _blocked(signal.SIGUSR1, signal.SIGUSR2):
        yield


@contextmanager
def blocked_in_workers() -> Iterator[None]:
    """Block SIGTERM as well, for forks that call `exit_on_parents_sigterm`.

    submitit's jobs work on after SIGTERM, until SIGKILL, and need their workers for that.
    """
    with blocked_in_helpers(), _blocked(signal.SIGTERM):
        yield


def exit_on_parents_sigterm(_: int = 0) -> None:
    """End this process, started in `blocked_in_workers`, on a SIGTERM from its parent only."""
    threading.Thread(target=_await_parent, args=(os.getppid(),), daemon=True).start()


def _await_parent(parent: int) -> None:
    # Only Linux tells the sender, and Slurm runs only there.
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
"""Environment variable of a job: how long before its end it receives SIGUSR2."""


class Notice:
    """Whether this process received notice that it is about to be ended.

    Attributes:
        given: Whether it did.
    """

    def __init__(self) -> None:
        self.given = False
        self._handler: Handler | None = None

    def leave(self) -> None:
        """Call the deferred handler, at most once: a job requeues itself and ends."""
        handler, self._handler = self._handler, None
        if handler is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            handler(signal.SIGUSR2, None)

    def defer(self, handler: Handler, seconds: float) -> None:
        """Keep a handler for `leave`, which a timer calls after these seconds at the latest.

        A second notice changes nothing.
        """
        if self.given:
            return
        self.given, self._handler = True, handler
        signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def deferred_notice() -> Iterator[Notice]:
    """Defer the handler of SIGUSR2, in the block, until `Notice.leave` is called.

    It is deferred by half of the notice at most, and the signal is ignored once it was called.
    Nothing changes where the signal has no handler.
    """
    notice = Notice()
    handler = signal.getsignal(signal.SIGUSR2)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield notice
        return
    seconds = float(os.environ.get(NOTICE, "60")) / 2
    alarm = signal.signal(signal.SIGALRM, lambda *_: notice.leave())
    signal.signal(signal.SIGUSR2, lambda *_: notice.defer(handler, seconds))
    try:
        yield notice
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN if notice.given else handler)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        notice.leave()
