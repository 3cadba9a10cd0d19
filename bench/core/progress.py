"""Show progress: a bar on a terminal, one line a minute in a log file."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from tqdm import tqdm

from bench.core.duration import format_duration
from bench.core.terminal import escaped, is_terminal

_SECONDS_BETWEEN_LOG_LINES = 60.0


def first_few(names: Sequence[str]) -> str:
    """Return the first five of some names, with an ellipsis for others."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def printable(text: str) -> str:
    """Return a text from outside as one line without control characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


@dataclass
class Work:
    """One piece of work, and how much of it is done.

    Attributes:
        label: What is being done.
        total: How much there is to do; None if unknown.
        unit: What is counted.
        done: How much is done.
        epoch: The epoch that a training is in, from 1.
        epochs: Its epochs.
    """

    label: str
    total: int | None = None
    unit: str = ""
    done: int = 0
    epoch: int | None = None
    epochs: int | None = None


Observer = Callable[[Work], None]
"""Called when a piece of work begins and at every advance, so it has to be quick."""


def _ignore(work: Work) -> None:
    """Observe nothing."""


class Bar:
    """The progress of one piece of work."""

    def __init__(
        self, work: Work, prefix: str, stream: TextIO, quiet: bool, observe: Observer
    ) -> None:
        self.work = work
        self._observe = observe
        self._bar: tqdm[Any] | _LogLines
        if is_terminal(stream):
            self._bar = tqdm(
                total=work.total,
                initial=work.done,
                desc=f"{prefix}{work.label}",
                unit=f" {work.unit}",
                file=stream,
                disable=quiet,
                maxinterval=0,
                dynamic_ncols=True,
                leave=False,
            )
        else:
            self._bar = _LogLines(work, prefix, stream, quiet)
        observe(work)

    def advance(self, count: int = 1) -> None:
        """Report that some more of the work is done."""
        self.work.done += count
        self._bar.update(count)
        self._observe(self.work)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()


class _LogLines:
    """A bar for a log file: a line a minute, and one at the end of longer work."""

    def __init__(self, work: Work, prefix: str, stream: TextIO, quiet: bool) -> None:
        self._work = work
        self._prefix = prefix
        self._stream = stream
        self._quiet = quiet
        self._done_before = work.done
        self._began = self._last_line = time.monotonic()

    def update(self, _: int) -> None:
        """Write a line if the last one is a minute old."""
        now = time.monotonic()
        if self._quiet or now - self._last_line < _SECONDS_BETWEEN_LOG_LINES:
            return
        self._last_line = now
        work, each = self._work, self._seconds_each(now)
        of = f" of {work.total:,}" if work.total else ""
        left = ""
        if work.total and each is not None and work.done < work.total:
            left = f", about {format_duration(each * (work.total - work.done))} left"
        counted = work.unit if (work.total or work.done) == 1 else f"{work.unit}s"
        self._write(f"{work.done:,}{of} {counted}{left}{self._rate(each)}")

    def close(self) -> None:
        """Write how long the work took, if a line was written before."""
        now = time.monotonic()
        if self._last_line > self._began:
            self._write(f"ended after {format_duration(now - self._began)}")

    def _seconds_each(self, now: float) -> float | None:
        """Return the seconds per unit; None at first."""
        done = self._work.done - self._done_before
        return (now - self._began) / done if done else None

    def _rate(self, each: float | None) -> str:
        if not each:
            return ""
        rate = f"{format_duration(each)} each" if each > 1 else f"{1 / each:,.0f} a second"
        return f" ({rate})"

    def _write(self, text: str) -> None:
        now = time.strftime("%H:%M:%S")
        tqdm.write(f"{now} {self._prefix}{self._work.label}: {escaped(text)}", file=self._stream)


class Progress:
    """Reports what a run is doing, on standard error."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._prefix = ""
        self._observe: Observer = _ignore

    def say(self, text: str) -> None:
        """Write one line."""
        if not self._quiet:
            tqdm.write(
                f"{time.strftime('%H:%M:%S')} {self._prefix}{escaped(text)}", file=self._stream
            )

    @contextmanager
    def prefixed(self, prefix: str) -> Iterator[None]:
        """Put a prefix before every line and label within the block."""
        before, self._prefix = self._prefix, f"{prefix} · "
        try:
            yield
        finally:
            self._prefix = before

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Call an observer for the work that begins within the block."""
        before, self._observe = self._observe, observer
        try:
            yield
        finally:
            self._observe = before

    def begin(self, label: str) -> None:
        """Report the beginning of work that is not counted."""
        self._observe(Work(label))

    @contextmanager
    def counted(self, work: Work) -> Iterator[Bar]:
        """Show the progress of a piece of work, some of which may be done already."""
        bar = Bar(work, self._prefix, self._stream, self._quiet, self._observe)
        try:
            yield bar
        finally:
            bar.close()

    def bar(self, label: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        """Show the progress of a piece of work of which nothing is done."""
        return self.counted(Work(label, total, unit))
