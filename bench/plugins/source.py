"""The interface of sources, and the context they work in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from bench.core.arrays import FloatArray
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.core.work_selection import EVERYTHING, WorkSelection
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage

if TYPE_CHECKING:
    from PIL.Image import Image


class Embedder(Protocol):
    """An image-text model that maps both into one space, rows L2-normalised."""

    weights_hash: str
    dim: int

    def images(self, images: Iterable[Image]) -> FloatArray:
        """Embed images, float32 ``[n, dim]``."""

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts, float32 ``[n, dim]``."""


@dataclass(frozen=True)
class Context:
    """What a source gets besides its options.

    Attributes:
        home: Where everything is kept.
        task: The task to find images for.
        n: Images wanted; None for all.
        seed: The run's seed.
        embedder: Loads the image-text model in a weights folder.
        progress: Where to report.
        selection: Which part of the work to do; a job may do only some of it.
    """

    home: Home
    task: Task
    n: int | None
    seed: int
    embedder: Callable[[str], Embedder]
    progress: Progress
    selection: WorkSelection = EVERYTHING

    def with_n(self, n: int | None) -> Context:
        """Return this context for another number of images."""
        return replace(self, n=n)

    def stage(self, name: str, config: Mapping[str, Any], inputs: Sequence[str] = ()) -> Stage:
        """Return a stage of the source, in this home (`bench.storage.stage.Stage`).

        Args:
            name: What the stage does, e.g. ``"download"``.
            config: Everything that determines its output, besides its inputs.
            inputs: The outputs of the stages it reads.
        """
        return Stage(
            self.home.data,
            name,
            config,
            inputs,
            progress=self.progress,
            selection=self.selection,
        )


class Source(Protocol):
    """Collects images to adapt with: one file in ``sources/``, one class."""

    @property
    def Options(self) -> type[Any]:  # noqa: N802 (a class nested in the plug-in's class)
        """The type of its options."""

    def __init__(self, options: Any) -> None:  # noqa: ANN401 (an instance of Options)
        """Take the options; raise RequestError if they contradict each other."""

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return fingerprints of everything outside that the images depend on.

        Raises:
            MissingError: If any of it is absent, with the remedy; no work has been done.
        """

    def collect(self, context: Context) -> ImageSet:
        """Return the images; at least ``context.n`` of them where that many exist."""
