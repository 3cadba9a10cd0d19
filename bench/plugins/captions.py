"""The interface of caption writers: the request, the caption, and the writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bench.core.json_values import Json
from bench.core.task import Task

if TYPE_CHECKING:
    from bench.core.paths import Home


@dataclass(frozen=True)
class CaptionOrder:
    """A request for one caption.

    Attributes:
        key: The item's name, unique in an image set.
        number: Its place among all items.
        seed: The item's seed, derived from the source's seed and the key.
        attempt: 0, or how many earlier texts for this item were refused.
    """

    key: str
    number: int
    seed: int
    attempt: int = 0


@dataclass(frozen=True)
class Concept:
    """What a caption may be about: a class of the task, or something else.

    Attributes:
        label: Index of the class; `bench.core.task.NO_LABEL` for what is none.
        name: The class's name, or its own.
        prompt_name: What captions call it.
        spellings: A caption must have one of these texts.
        noun: What it is, e.g. ``car``; selects things and backgrounds.
        kinds: The kinds of captions that it has; all, if there are none here.
    """

    label: int
    name: str
    prompt_name: str
    spellings: tuple[str, ...]
    noun: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptionBrief:
    """What a caption writer gets besides its orders.

    Attributes:
        task: The task whose images are wanted.
        home: Where weights are kept.
        phrases: The lists of a phrase file: templates, relations, things and backgrounds.
        concepts: What is written about: the task's classes, where nothing else was asked for.
        weights: The sum of the shares of the concepts up to each; empty if they have equal ones.
        kinds: Kinds of captions to their shares.
    """

    task: Task
    home: Home
    phrases: Json
    concepts: tuple[Concept, ...]
    weights: tuple[float, ...]
    kinds: Mapping[str, float]


@dataclass(frozen=True)
class Caption:
    """One caption.

    Attributes:
        label: Index of the class it is about; `bench.core.task.NO_LABEL` for none.
        kind: ``class``, ``relation``, ``background``, or a writer's own word.
        text: The prompt for a generator.
        relation: The relation that was asked for.
        background: The background that was asked for.
        examples: The lines that a language model was shown.
        pair: The template that it came from: captions of one differ in nothing but the class.
        concept: Name of the concept it is about, where that is no class; empty if none is known.
    """

    label: int
    kind: str
    text: str
    relation: str | None = None
    background: str | None = None
    examples: tuple[str, ...] = ()
    pair: str | None = None
    concept: str = ""


class CaptionWriter(Protocol):
    """Writes captions for a generator: one file in ``sources/writers/``, one class."""

    fixed: bool
    """Whether an item's text is given: another attempt brings the same, and copies are meant."""

    @property
    def Options(self) -> type[Any]:  # noqa: N802 (a class nested in the plug-in's class)
        """The type of its options."""

    def __init__(self, options: Any) -> None:  # noqa: ANN401 (an instance of Options)
        """Take the options."""

    def config(self, home: Home) -> Json:
        """Return everything that its captions depend on, besides the orders and the brief.

        Raises:
            RequestError: If any of it is absent, with the remedy; no work has been done.
        """

    def write(self, orders: Sequence[CaptionOrder], brief: CaptionBrief) -> list[Caption]:
        """Return one caption per order, which depends only on that order.

        Raises:
            RequestError: If it cannot begin.
            BenchError: If it cannot go on.
        """
