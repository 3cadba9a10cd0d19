"""Tasks: a classification task given by its class names, and the splits of its images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from bench.core.arrays import LabelArray
from bench.core.config import Config
from bench.core.errors import BenchError
from bench.core.json_values import digest
from bench.core.paths import Home

if TYPE_CHECKING:
    from PIL.Image import Image

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The labelled images of one split; images are opened one at a time.

    Attributes:
        name: ``train``, ``val``, ``test`` or a shifted split's.
        keys: One unique name per image.
        labels: Class indices, int64 ``[n]``.
        read: Returns the image at an index.
    """

    name: str
    keys: Sequence[str]
    labels: LabelArray
    read: Callable[[int], Image]

    def __len__(self) -> int:
        return len(self.keys)

    def images(self) -> Iterator[Image]:
        """Yield every image in order."""
        return (self.read(index) for index in range(len(self)))


class Query(Config, frozen=True, kw_only=True):
    """What a caption must say to name a class: one of `any`, and all of `with`."""

    any: tuple[str, ...]
    """Spellings and synonyms."""
    with_: tuple[str, ...] = msgspec.field(default=(), name="with")
    """Further texts, for a name that alone says too little: flower, for the class rose."""


Queries = dict[str, str | tuple[str, ...] | Query]
"""Class name to its caption query; a text or a list of texts stands for a query without `with`."""


class Task(Config, frozen=True, kw_only=True):
    """A classification task given by its class names; subclasses say where its images are."""

    name: str
    version: int
    """Raised whenever names, prompts, splits or metric change."""
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    """Prompts with one ``{}`` for the class name; ensembled for the zero-shot head."""
    domain_texts: tuple[str, ...]
    """Texts for the whole domain, for the threshold filter (Geng 2024, section 3)."""
    queries: Queries = {}
    """Class name to its caption query, where the two differ."""
    noun: str = "object"
    """What all classes are, e.g. ``car``; selects the backgrounds of written captions."""
    metric: Literal["accuracy", "mean-per-class"] = "accuracy"
    split_sizes: dict[str, int] = {}
    """Images per split, checked whenever a split is opened."""

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1.0 / len(self.class_names)

    @property
    def fingerprint(self) -> str:
        """Identity of names, prompts and images: equal ones are the same task."""
        return f"{self.name}@{self.version}-{digest(self, 8)}"

    @property
    def shifted(self) -> tuple[str, ...]:
        """Names of the splits besides train, val and test: test images of another kind."""
        return tuple(name for name in self.split_sizes if name not in SPLITS)

    def query(self, class_name: str) -> Query:
        """Return the caption query of a class; its name where no other is declared."""
        query = self.queries.get(class_name, class_name)
        if isinstance(query, Query):
            return query
        return Query(any=(query,) if isinstance(query, str) else query)

    def prompts(self, class_name: str) -> list[str]:
        """Return every template filled in with one class name."""
        return [template.format(class_name) for template in self.templates]

    def check(self, home: Home) -> None:
        """Make sure that the task's data is there.

        Raises:
            RequestError: If it is not, with the remedy.
        """

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split; subclasses implement it, callers use `split`."""
        raise NotImplementedError

    def split(self, name: str, home: Home) -> Split:
        """Open a split and make sure it is the one the task declares.

        Raises:
            BenchError: If it has another number of images or a label out of range.
        """
        split = self.open_split(name, home)
        expected = self.split_sizes.get(name)
        if expected is not None and len(split) != expected:
            raise BenchError(
                f"task {self.name}: split {name} has {len(split)} images, not {expected}",
                "the data on disk is not the published split; fetch it again",
            )
        if len(split) and not 0 <= split.labels.min() <= split.labels.max() < len(self.class_names):
            raise BenchError(f"task {self.name}: split {name} has labels outside its classes")
        return split
