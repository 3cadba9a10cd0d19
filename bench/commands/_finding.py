"""What `bench doctor` finds: a state, what it is about, and the remedy."""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """How a finding counts."""

    OK = "ok"
    NOTE = "note"
    """Something is not here that some commands need."""
    FAIL = "FAIL"
    """Something is wrong, and must be mended."""


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        state: Whether it is as it should be.
        text: What was found.
        fix: The remedy; empty if none is needed.
    """

    state: State
    text: str
    fix: str = ""

    @property
    def line(self) -> str:
        """The finding and its remedy."""
        return f"{self.text}; {self.fix}" if self.fix else self.text


def ok(text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(State.OK, text)


def note(text: str, fix: str) -> Finding:
    """Return a finding of something that is not here and may be wanted."""
    return Finding(State.NOTE, text, fix)


def fail(text: str, fix: str) -> Finding:
    """Return a finding of something that is wrong."""
    return Finding(State.FAIL, text, fix)
