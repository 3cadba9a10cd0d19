"""The errors a user sees.

    BenchError            exit code 1: the run failed; what happened, and what to do
    └── RequestError      exit code 2: the request was wrong; it says what to ask for instead
        └── TooFewImagesError   it asked for more images than there are

Every message is one line. Any other exception is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Iterable, Sequence


class BenchError(Exception):
    """A run that failed for a reason its user can act on.

    Args:
        what: What went wrong, in one line.
        fix: What to do about it, in one line.
    """

    exit_code = 1

    def __init__(self, what: str, fix: str = "") -> None:
        self.what = " ".join(what.split())
        self.fix = " ".join(fix.split())
        super().__init__(f"{self.what}; {self.fix}" if fix else self.what)


class RequestError(BenchError):
    """A request that is wrong as written; nothing was half-done."""

    exit_code = 2


class TooFewImagesError(RequestError):
    """A run asks for more images than its source has; a study expects such holes."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> RequestError:
    """Return the error for an unknown name, with the nearest ones suggested.

    Args:
        kind: What the name should have been, e.g. ``"source"``.
        name: The name that was asked for.
        known: The names that exist.
    """
    names = sorted(known)
    there = f"there are: {', '.join(names)}" if names else "there are none"
    return RequestError(f"unknown {kind} {name!r}", did_you_mean(name, names) or there)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a question that suggests the names nearest to one; nothing if none is near."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""
