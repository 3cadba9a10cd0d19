"""A run's heartbeat: a small file that says what the run is doing, for whoever waits for it.

It is written where progress is reported and by no thread of its own, so a run that hangs shows as a
heartbeat that grows old. A run that ends removes it; one that is killed leaves it behind.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bench.core.config import Config, Natural
from bench.core.paths import Home
from bench.core.progress import Progress, Work
from bench.runtime import distributed

SECONDS = 5.0
"""Between two heartbeats, at least, as long as the label stays the same."""

WINDOW = 60.0
"""Seconds that the rate is measured over."""

_MAX_BYTES = 2**14


class Heartbeat(Config, frozen=True, kw_only=True):
    """What a run was doing when it last reported."""

    label: str
    """The piece of work."""
    done: Natural
    total: Natural | None
    """None where nobody knows."""
    unit: str
    rate: float | None
    """Units per second over the last minute; None at first."""
    eta_seconds: float | None
    """Until the piece is done: for fine-tuning, until the whole training is."""
    epoch: Natural | None
    """From 1; None where nothing is trained."""
    epochs: Natural | None
    host: str
    pid: Natural
    job: str
    """The job it is of (`bench.runtime.distributed.job`); empty where there is none."""
    started: float
    """When this process took the run up, in UTC seconds."""
    at: float
    """When it last reported, in UTC seconds."""


def read_heartbeat(home: Home, run_id: str) -> Heartbeat | None:
    """Return a run's heartbeat, or None if there is none that can be read."""
    try:
        with _path(home, run_id).open("rb") as stream:
            return msgspec.json.decode(stream.read(_MAX_BYTES), type=Heartbeat)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


@contextmanager
def heartbeat(home: Home, run_id: str, progress: Progress) -> Iterator[None]:
    """Keep the heartbeat of a run, whose lock the caller holds, through the block."""
    path = _path(home, run_id)
    try:
        with progress.observed(_Pulse(path)):
            yield
    finally:
        path.unlink(missing_ok=True)


class _Pulse:
    """Writes the heartbeats of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started = time.time()
        self._work: Work | None = None
        self._due = 0.0
        self._measured: deque[tuple[float, int]] = deque()

    def __call__(self, work: Work) -> None:
        now = time.monotonic()
        before = self._work
        if before is not None and work.label == before.label and now < self._due:
            return
        if work is not before:
            self._work = work
            self._measured.clear()
        self._due = now + SECONDS
        self._measured.append((now, work.done))
        while len(self._measured) > 2 and self._measured[1][0] <= now - WINDOW:
            self._measured.popleft()
        # A training of days must not end for its heartbeat; it shows as one that grew old.
        with suppress(OSError):
            self._write(work)

    def _write(self, work: Work) -> None:
        rate = self._rate()
        beat = Heartbeat(
            label=work.label,
            done=work.done,
            total=work.total,
            unit=work.unit,
            rate=rate,
            eta_seconds=(work.total - work.done) / rate if rate and work.total else None,
            epoch=work.epoch,
            epochs=work.epochs,
            host=socket.gethostname(),
            pid=os.getpid(),
            job=distributed.job(),
            started=self._started,
            at=time.time(),
        )
        # Not flushed to the disk, as it is of no use after the machine has gone down.
        temporary = self._path.with_name(f".{self._path.name}")
        temporary.write_bytes(msgspec.json.encode(beat))
        temporary.replace(self._path)

    def _rate(self) -> float | None:
        (first, before), (last, now) = self._measured[0], self._measured[-1]
        return (now - before) / (last - first) if last > first else None


def _path(home: Home, run_id: str) -> Path:
    return home.run(run_id) / "heartbeat.json"
