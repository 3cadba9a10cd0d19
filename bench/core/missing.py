"""What a run needs and does not find, such as weights, a pool or benchmark data."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeVar

from bench.core.errors import RequestError

T = TypeVar("T")


class Fetchable(NamedTuple):
    """What ``bench fetch --KIND NAME`` brings."""

    kind: Literal["model", "task", "pool"]
    name: str

    @property
    def command(self) -> str:
        """The command."""
        return f"bench fetch --{self.kind} {self.name}"


class Absence(NamedTuple):
    """What to do about something that is absent.

    Attributes:
        fix: The remedy, in one line.
        fetchable: What to fetch; None if it has to be got by hand.
    """

    fix: str
    fetchable: Fetchable | None = None


Absences = dict[str, Absence]
"""What is absent, in one line, and what to do about it."""


class MissingError(RequestError):
    """Something that a run needs is not there; a study can leave such runs out.

    Args:
        what: What is absent, in one line.
        fix: The remedy, in one line.
        fetchable: What to fetch; None if it has to be got by hand.

    Attributes:
        absences: All that is absent.
    """

    def __init__(self, what: str, fix: str, fetchable: Fetchable | None = None) -> None:
        super().__init__(what, fix)
        self.absences: Absences = {self.what: Absence(self.fix, fetchable)}

    @classmethod
    def of(cls, absences: Absences) -> "MissingError":
        """Return the error for all that is absent; at least one thing is."""
        if len(absences) == 1:
            [(what, absence)] = absences.items()
            return cls(what, *absence)
        error = cls("; ".join(f"{what} ({each.fix})" for what, each in absences.items()), "")
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
