"""Which part of a source's work to do, so that separate jobs can share it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class WorkSelection:
    """Which part of a source's work to do; the default is all of it.

    Attributes:
        shards: Only these shards of each stage; None for all.
        stages: Names of the stages that may run; None for all.
    """

    shards: range | None = None
    stages: frozenset[str] | None = None

    def has(self, stage: str) -> bool:
        """Return whether a stage may run."""
        return self.stages is None or stage in self.stages

    @property
    def unsharded(self) -> WorkSelection:
        """This selection for a stage that is not shared between jobs."""
        return replace(self, shards=None)


EVERYTHING = WorkSelection()
NOTHING = WorkSelection(stages=frozenset())
