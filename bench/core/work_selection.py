"""How the work of a source is cut up, so that jobs of their own can do parts of it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class WorkSelection:
    """Which part of a source's work is wanted; the default is all of it.

    Attributes:
        shards: Only these shards of each stage; None for all.
        stages: Names of the stages that may be made; None for all.
    """

    shards: range | None = None
    stages: frozenset[str] | None = None

    def has(self, stage: str) -> bool:
        """Return whether a stage may be made."""
        return self.stages is None or stage in self.stages

    @property
    def unsharded(self) -> WorkSelection:
        """This selection for a stage that is not worth being cut up."""
        return replace(self, shards=None)


EVERYTHING = WorkSelection()
NOTHING = WorkSelection(stages=frozenset())
