"""Progress for people: a bar on a terminal, one line a minute in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")

_SECONDS_BETWEEN_LOG_LINES = 60.0


def printable(text: str) -> str:
    """Return a text from outside as one line that a terminal shows and does not obey."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


class Bar:
    """One piece of work being counted off."""

    def __init__(
        self, label: str, total: int | None, unit: str, stream: TextIO, quiet: bool = False
    ) -> None:
        self._live = stream.isatty()
        self._bar = tqdm(
            total=total,
            desc=label,
            unit=f" {unit}",
            file=stream,
            disable=quiet,
            mininterval=0.1 if self._live else _SECONDS_BETWEEN_LOG_LINES,
            maxinterval=0 if self._live else _SECONDS_BETWEEN_LOG_LINES,
            dynamic_ncols=self._live,
            delay=0 if self._live else _SECONDS_BETWEEN_LOG_LINES,
            leave=not self._live,
        )

    def advance(self, count: int = 1) -> None:
        """Count off some of the work."""
        self._bar.update(count)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()


class Progress:
    """Where a run says what it is doing; everything goes to standard error."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._prefix = ""

    def say(self, text: str) -> None:
        """Write one line."""
        if not self._quiet:
            tqdm.write(f"{time.strftime('%H:%M:%S')} {self._prefix}{text}", file=self._stream)

    @contextmanager
    def prefixed(self, prefix: str) -> Iterator[None]:
        """Begin every line and label within the block with a few words."""
        before, self._prefix = self._prefix, f"{prefix} · "
        try:
            yield
        finally:
            self._prefix = before

    @contextmanager
    def bar(self, label: str, total: int | None, unit: str) -> Iterator[Bar]:
        """Count off a piece of work: stage, rate and time left."""
        bar = Bar(f"{self._prefix}{label}", total, unit, self._stream, self._quiet)
        try:
            yield bar
        finally:
            bar.close()

    def track(self, things: Iterable[T], label: str, total: int | None, unit: str) -> Iterator[T]:
        """Yield things, counting each off when the next is asked for."""
        with self.bar(label, total, unit) as bar:
            for thing in things:
                yield thing
                bar.advance()
