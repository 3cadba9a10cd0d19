"""A run's heartbeat: a small file that says what the run is doing.

It is written where progress is reported, not by a thread of its own, so the heartbeat of a run that
hangs grows old. A run that ends removes it; one that is killed leaves it behind.
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

INTERVAL_SECONDS = 5.0
"""Least time between two heartbeats of one label."""

RATE_SECONDS = 60.0
"""Time that the rate is measured over."""

_MAX_BYTES = 2**14


class Heartbeat(Config, frozen=True, kw_only=True):
    """What a run was doing when it last reported."""

    label: str
    """The piece of work."""
    done: Natural
    total: Natural | None
    """None if unknown."""
    unit: str
    rate: float | None
    """Units per second over the last minute; None at first."""
    eta_seconds: float | None
    """Until the piece is done; for fine-tuning, until the whole training is done."""
    epoch: Natural | None
    """From 1; None where nothing is trained."""
    epochs: Natural | None
    host: str
    pid: Natural
    job: str
    """The run's job (`bench.runtime.distributed.job`); empty outside of a job."""
    started: float
    """When this process took up the run, in UTC seconds."""
    at: float
    """When it last reported, in UTC seconds."""


def read_heartbeat(home: Home, run_id: str) -> Heartbeat | None:
    """Return a run's heartbeat, or None if there is none or it cannot be read."""
    try:
        with _path(home, run_id).open("rb") as stream:
            return msgspec.json.decode(stream.read(_MAX_BYTES), type=Heartbeat)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


@contextmanager
def heartbeat(home: Home, run_id: str, progress: Progress) -> Iterator[None]:
    """Write the heartbeat of a run throughout the block; the caller holds the run's lock."""
    path = _path(home, run_id)
    try:
        with progress.observed(_HeartbeatWriter(path)):
            yield
    finally:
        path.unlink(missing_ok=True)


class _HeartbeatWriter:
    """Writes the heartbeat of one run."""

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
        self._due = now + INTERVAL_SECONDS
        self._measured.append((now, work.done))
        while len(self._measured) > 2 and self._measured[1][0] <= now - RATE_SECONDS:
            self._measured.popleft()
        # A failure to write must not end a training of days; the heartbeat grows old instead.
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
        # Not flushed to disk: it is of no use after the machine has gone down.
        temporary = self._path.with_name(f".{self._path.name}")
        temporary.write_bytes(msgspec.json.encode(beat))
        temporary.replace(self._path)

    def _rate(self) -> float | None:
        (first, before), (last, now) = self._measured[0], self._measured[-1]
        return (now - before) / (last - first) if last > first else None


def _path(home: Home, run_id: str) -> Path:
    return home.run(run_id) / "heartbeat.json"
