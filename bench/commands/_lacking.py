"""What the runs of a study lack, and whether the study may go on without them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.core.json_values import Json
    from bench.core.missing import Fetchable
    from bench.core.specs import RunSpec
    from bench.steps.prepare import Prepared


@dataclass(frozen=True)
class Lacking:
    """Something that is absent, and the runs that need it.

    Attributes:
        what: What is absent.
        fix: The remedy.
        fetchable: What to fetch; None if it has to be got by hand.
        specs: The runs.
    """

    what: str
    fix: str
    fetchable: "Fetchable | None"
    specs: list["RunSpec"]

    @property
    def line(self) -> str:
        """One line that says it."""
        tasks, sources = ", ".join(self._names("task")), ", ".join(self._names("source"))
        runs = "1 run" if len(self.specs) == 1 else f"{len(self.specs)} runs"
        return f"{runs} of {tasks} ({sources}): {self.what}; {self.fix}"

    @property
    def fields(self) -> "Json":
        """The same as JSON."""
        names = {"tasks": self._names("task"), "sources": self._names("source")}
        return {"what": self.what, "fix": self.fix, "runs": len(self.specs), **names}

    def _names(self, axis: str) -> list[str]:
        return list(dict.fromkeys(getattr(spec, axis) for spec in self.specs))


def lacking(runs: "Sequence[Prepared]") -> list[Lacking]:
    """Return everything that runs lack, each thing once, in the order of the runs."""
    found: dict[str, Lacking] = {}
    for run in runs:
        for what, absence in run.absences.items():
            found.setdefault(what, Lacking(what, *absence, [])).specs.append(run.spec)
    return list(found.values())


def require_complete(absent: Sequence[Lacking], total: int, *, skip_missing: bool) -> None:
    """Make sure that a study has what it needs.

    Args:
        absent: What its runs lack.
        total: How many runs it has.
        skip_missing: Whether runs may be left out; some must remain.

    Raises:
        RequestError: If it has not, with everything that is absent.
    """
    from bench.core.errors import RequestError

    count = len({id(spec) for each in absent for spec in each.specs})
    if not count or (skip_missing and count < total):
        return
    advice = "" if count == total else "; or add --skip-missing to leave these runs out"
    raise RequestError(
        f"{count} of {total} runs lack what they need: {'. '.join(each.line for each in absent)}",
        f"--dry-run shows the whole plan{advice}",
    )
