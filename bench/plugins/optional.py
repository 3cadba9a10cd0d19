"""Interfaces that a plug-in may implement besides its own."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat


@runtime_checkable
class SupportsEstimate(Protocol):
    """A source that can estimate its cost."""

    def estimate(self, context: Context) -> Json:
        """Return the amounts of work, time and disk by name; nothing is written."""


@runtime_checkable
class KeepsImages(Protocol):
    """A source that says how it keeps images: all parts of a mixture must keep them alike."""

    @property
    def images(self) -> ImageFormat | None:
        """How images are kept; None if that is not known."""


@runtime_checkable
class HasCaptions(Protocol):
    """A source that says whether its images have captions, which some objectives need."""

    @property
    def captioned(self) -> bool:
        """Whether they have."""


@runtime_checkable
class HasPairs(Protocol):
    """A source or a caption writer that says whether its captions have a `Caption.pair`."""

    @property
    def paired(self) -> bool:
        """Whether they have."""


@runtime_checkable
class HasOthers(Protocol):
    """A source or a caption writer whose images may be of no class of the task."""

    def others(self, task: Task) -> bool:
        """Return whether any may be; some objectives need a class for each."""


@runtime_checkable
class IgnoresSettings(Protocol):
    """A caption writer to which some settings of captions mean nothing."""

    ignored: tuple[str, ...]
    """Of ``kinds``, ``concepts`` and ``weights``, which are those of concepts."""


@runtime_checkable
class OffersCaptions(Protocol):
    """A source whose images have captions when it is asked for them."""

    @property
    def captioned_by(self) -> str:
        """The setting that asks for them, as ``source.NAME=VALUE``."""


@runtime_checkable
class HasJobStages(Protocol):
    """A source whose stages can run as separate jobs."""

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the long stages, in order, each after the stages made on the way to it.

        The last name of each tuple is the job's. A stage that is not named is made at the end.
        """


@runtime_checkable
class RetriesFailed(Protocol):
    """A source that keeps what it failed to get, and can try that again."""

    def retry_failed(self, context: Context) -> bool:
        """Begin another attempt at what failed for a reason that may pass; collecting makes it.

        Returns:
            Whether there is anything to try.
        """


@runtime_checkable
class CountsShards(Protocol):
    """A source that can say how many jobs at most find work in a stage."""

    def most_shards(self, stage: str, context: Context) -> int | None:
        """Return how many shards of a stage there are to make side by side; None if unknown.

        Args:
            stage: The last name of one of `HasJobStages.job_stages`.
            context: What the source is given; nothing may be made for the answer.

        Raises:
            BenchError: If an earlier stage that it depends on is unfinished, or its input is bad.
        """


@runtime_checkable
class HasNotes(Protocol):
    """A source with something to say of its data, such as files that it does not read."""

    def notes(self, home: Home) -> list[str]:
        """Return what a user should know before a run, a line each; reads names alone."""


@runtime_checkable
class ChecksTask(Protocol):
    """An evaluator or a source that does not support every task."""

    def check(self, task: Task) -> None:
        """Make sure that the task is supported.

        Raises:
            RequestError: If it is not; no work has been done.
        """


@runtime_checkable
class NeedsHead(Protocol):
    """An evaluator that may judge the classifier's head, which not every objective trains."""

    @property
    def needs_head(self) -> bool:
        """Whether it does."""


@runtime_checkable
class TakesPatches(Protocol):
    """An evaluator that looks at patch tokens, which not every model has."""

    @property
    def image_size(self) -> int | None:
        """The side of the images that it gives the model, in pixels; None for the model's own."""


@runtime_checkable
class HasData(Protocol):
    """An evaluator with data of its own, besides the task's."""

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return what identifies them, by name; a run's result depends on it."""


@runtime_checkable
class FollowsSteps(Protocol):
    """An objective that does something after each optimiser step, such as moving an average."""

    def after_step(self, step: int) -> None:
        """Follow a step that was taken, the first being 0; skipped ones are not reported."""


@runtime_checkable
class HasJudged(Protocol):
    """An objective whose adapted classifier is not just the one that it was started with."""

    def judged(self) -> Any:  # noqa: ANN401 (torch stays out)
        """Return the `adapt.models.Classifier` to evaluate, as it is now."""
