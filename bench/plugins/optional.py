"""What a plug-in may offer besides what it must."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from bench.core.json_values import Json
from bench.core.task import Task
from bench.plugins.source import Context


@runtime_checkable
class SupportsEstimate(Protocol):
    """A source that can say what it will cost; others need not have the method."""

    def estimate(self, context: Context) -> Json:
        """Return the amounts of work, time and disk by name; nothing is written."""


@runtime_checkable
class HasJobStages(Protocol):
    """A source whose stages can be made by jobs of their own; others need not have the property."""

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that take long, in order, each with those made on the way to it.

        The last name of each is the job's. Whatever is not named is made at the end.
        """


@runtime_checkable
class ChecksTask(Protocol):
    """An evaluator or a source that not every task suits."""

    def check(self, task: Task) -> None:
        """Make sure that the task has what is needed.

        Raises:
            RequestError: If it has not; no work has been done.
        """
