"""What a run needs and does not find, such as weights, a pool or benchmark data."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from bench.core.errors import RequestError

T = TypeVar("T")

Absences = dict[str, str]
"""What is absent, and its remedy."""


class MissingError(RequestError):
    """Something that a run needs is not there; a study can leave such runs out.

    Args:
        what: What is absent, in one line.
        fix: The remedy, in one line.

    Attributes:
        absences: All that is absent.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.absences: Absences = {self.what: self.fix}

    @classmethod
    def of(cls, absences: Absences) -> "MissingError":
        """Return the error for all that is absent; at least one thing is."""
        if len(absences) == 1:
            return cls(*next(iter(absences.items())))
        error = cls("; ".join(f"{what} ({fix})" for what, fix in absences.items()), "")
        error.absences = dict(absences)
        return error


def together(parts: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Return what each function returns, having called all of them.

    Raises:
        MissingError: If any of them does; it names what all of them miss.
    """
    found: dict[str, T] = {}
    absences: Absences = {}
    for name, part in parts.items():
        try:
            found[name] = part()
        except MissingError as error:
            absences |= error.absences
    if absences:
        raise MissingError.of(absences)
    return found
