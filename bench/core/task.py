"""Tasks: a classification task given by its class names, and the splits of its images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec
import numpy as np

from bench.core.arrays import LabelArray, MaskArray, TargetArray
from bench.core.config import Config
from bench.core.errors import RequestError, did_you_mean
from bench.core.json_values import digest
from bench.core.names import composed, has_control_characters
from bench.core.paths import Home

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

SPLITS = ("train", "val", "test")

NO_LABEL = -1
"""The label of an image that has several classes, or none: `Split.targets` says which."""


@dataclass(frozen=True)
class Split:
    """The labelled images of one split; images are opened one at a time.

    Attributes:
        name: ``train``, ``val``, ``test`` or a shifted split's.
        keys: One unique name per image: its file's, where it has one.
        labels: Class indices, int64 ``[n]``; `NO_LABEL` throughout where images have several.
        read: Returns the image at an index.
        targets: Which classes each image has, bool ``[n, classes]``, where images have several.
        files: The files that the images are read from, where the task's fingerprint does not cover
            their content.
        mask: Returns what each pixel of the image at an index shows, where the task knows it: the
            class's label + 1, the number of classes + 1 for what is none of them, or 0 for pixels
            that do not count. uint8 ``[h, w]``.
    """

    name: str
    keys: Sequence[str]
    labels: LabelArray
    read: Callable[[int], Image]
    targets: TargetArray | None = None
    files: Sequence[Path] = ()
    mask: Callable[[int], MaskArray] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def images(self) -> Iterator[Image]:
        """Yield every image in order."""
        return (self.read(index) for index in range(len(self)))

    def content(self, class_names: Sequence[str]) -> str:
        """Return the SHA-256 of the sorted lines ``KEY<tab>CLASS NAME``, whatever their order."""
        if self.targets is None:
            pairs = list(zip(self.keys, self.labels.tolist(), strict=True))
        else:
            pairs = [(self.keys[row], label) for row, label in np.argwhere(self.targets).tolist()]
        lines = sorted(f"{key}\t{class_names[label]}\n" for key, label in pairs)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class Query(Config, frozen=True, kw_only=True):
    """What a caption must say to name a class: one of `any`, and all of `with`."""

    any: tuple[str, ...]
    """Spellings and synonyms."""
    with_: tuple[str, ...] = msgspec.field(default=(), name="with")
    """Further texts, for a name that alone says too little: flower, for the class rose."""


Queries = dict[str, str | tuple[str, ...] | Query]
"""Class name to its caption query; a text or a list of texts stands for a query without `with`."""


def _as_query(query: str | tuple[str, ...] | Query) -> Query:
    if isinstance(query, Query):
        return query
    return Query(any=(query,) if isinstance(query, str) else query)


def check_prompts(templates: Sequence[str], domain_texts: Sequence[str], queries: Queries) -> None:
    """Raise ValueError unless every text is there and every template has one ``{}``."""
    for field, texts in (("templates", templates), ("domain_texts", domain_texts)):
        if not texts or not all(text.strip() for text in texts):
            raise ValueError(f"{field}: it is empty or has an empty text")
    for template in templates:
        if template.count("{}") != 1 or template.count("{") + template.count("}") != 2:
            raise ValueError(
                f"templates: {template!r} needs one {{}}, for the class; no other braces"
            )
    for name, given in queries.items():
        query = _as_query(given)
        if not query.any or not all(text.strip() for text in (*query.any, *query.with_)):
            raise ValueError(f"queries: {name!r} asks for nothing, or for an empty text")


class Task(Config, frozen=True, kw_only=True):
    """A classification task given by its class names; subclasses say where its images are."""

    name: str
    version: int
    """Raised whenever names, prompts, splits or metric change."""
    class_names: tuple[str, ...]
    """In Unicode's composed form, as are all class names; they are made so."""
    templates: tuple[str, ...]
    """Prompts with one ``{}`` for the class; ensembled for the zero-shot head."""
    domain_texts: tuple[str, ...]
    """Texts for the whole domain, for the threshold filter (Geng 2024, section 3)."""
    queries: Queries = {}
    """Class name to its caption query, where the two differ."""
    prompt_names: dict[str, str] = {}
    """Class name to what prompts and written captions call it, where the two differ."""
    noun: str = "object"
    """What all classes are, e.g. ``car``; selects the backgrounds of written captions."""
    metric: Literal["accuracy", "mean-per-class", "mean-average-precision"] = "accuracy"
    """The last is that of a multi-label task, and of no other."""
    split_sizes: dict[str, int] = {}
    """Images per split, checked whenever a split is opened."""
    rendered: ClassVar[bool] = False
    """Whether the code makes the images, so that none can be damaged."""
    masked: ClassVar[bool] = False
    """Whether its splits have a mask of every image."""
    split_contents: dict[str, str] = {}
    """`Split.content` of the official splits, checked whenever one is opened."""

    def __post_init__(self) -> None:
        """Bring class names into one Unicode form, and check names and texts.

        Raises:
            ValueError: If the prompts or queries are not usable, a class name has control
                characters, or two differ in their Unicode form alone.
        """
        names = tuple(composed(name) for name in self.class_names)
        for name, count in Counter(names).items():
            if has_control_characters(name):
                raise ValueError(f"the class name {name!r} has control characters; rename it")
            if count > 1:
                raise ValueError(f"there are two classes {name!r}; rename or join them")
        msgspec.structs.force_setattr(self, "class_names", names)
        check_prompts(self.templates, self.domain_texts, self.queries)
        for field in ("queries", "prompt_names"):
            by_name = {composed(name): value for name, value in getattr(self, field).items()}
            if unknown := sorted(set(by_name) - set(names)):
                near = did_you_mean(unknown[0], self.class_names)
                raise ValueError(f"{field}: there is no class {unknown[0]!r}; {near}".rstrip("; "))
            msgspec.structs.force_setattr(self, field, by_name)

    def __hash__(self) -> int:
        """Return a hash for `memo`, where mappings among the fields have none."""
        return hash((self.name, self.version))

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing; None where images have several labels.

        There it is the mean share of images with a class, which `eval.per_class` reports.
        """
        return None if self.multi_label else 1.0 / len(self.class_names)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes, or none."""
        return self.metric == "mean-average-precision"

    @property
    def fingerprint(self) -> str:
        """Identity of names, prompts and images: equal ones are the same task."""
        return f"{self.name}@{self.version}-{digest(self, 8)}"

    @property
    def shifted(self) -> tuple[str, ...]:
        """Names of the splits besides train, val and test: test images of another kind."""
        return tuple(name for name in self.split_sizes if name not in SPLITS)

    @property
    def own_classes_only(self) -> tuple[str, ...]:
        """Names of the shifted splits whose images are classified among their own classes alone."""
        return ()

    def label(self, class_name: str) -> int | None:
        """Return the label of a class by its name in any Unicode form; None if it has none."""
        name = composed(class_name)
        return self.class_names.index(name) if name in self.class_names else None

    def query(self, class_name: str) -> Query:
        """Return the caption query of a class; its name where no other is declared."""
        return _as_query(self.queries.get(class_name, class_name))

    def prompt_name(self, class_name: str) -> str:
        """Return what prompts and written captions call a class."""
        return self.prompt_names.get(class_name, class_name)

    def prompts(self, class_name: str) -> list[str]:
        """Return every template filled in with the prompt name of one class."""
        return [template.format(self.prompt_name(class_name)) for template in self.templates]

    def notes(self) -> list[str]:
        """Return what a user should know of the task's data before a run, a line each."""
        return []

    def at(self, home: Home) -> Task:
        """Return the task as it is read in a home, where it may be read from several origins."""
        return self

    @property
    def variants(self) -> tuple[Task, ...]:
        """The task as read from each of its origins."""
        return (self,)

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
            RequestError: If it has other images, other labels or an image twice.
        """
        split = self.open_split(name, home)
        if fault := self._fault(name, split):
            raise RequestError(
                f"task {self.name}: split {name} {fault}{self.listed_in(name, home)}",
                self.remedy(home),
            )
        return split

    def listed_in(self, name: str, home: Home) -> str:
        """Return where a split is listed, as the end of a message; nothing by default."""
        return ""

    def remedy(self, home: Home) -> str:
        """Return what to do about data that are not the task's."""
        return "the data on disk are not the task's; restore them"

    def _fault(self, name: str, split: Split) -> str:
        """Return in what a split differs from the declared one; nothing if it does not."""
        expected = self.split_sizes.get(name, len(split))
        if len(split) != expected:
            return f"has {len(split)} images, not {expected}"
        if fault := self._label_fault(split):
            return fault
        if len(set(split.keys)) < len(split):
            key = Counter(split.keys).most_common(1)[0][0]
            return f"has an image twice, {key}"
        content = self.split_contents.get(name)
        if content is None or split.content(self.class_names) == content:
            return ""
        return "has other images or other labels than the official one"

    def _label_fault(self, split: Split) -> str:
        """Return what is wrong with the labels of a split; nothing if they are in order."""
        targets, classes = split.targets, len(self.class_names)
        if (targets is not None) != self.multi_label:
            several = "several labels" if self.multi_label else "one label"
            return f"does not have {several} per image, as the task's metric {self.metric} needs"
        if targets is None:
            if len(split) and not 0 <= split.labels.min() <= split.labels.max() < classes:
                return "has labels outside its classes"
        elif targets.shape != (len(split), classes) or (split.labels != NO_LABEL).any():
            return f"has targets of shape {list(targets.shape)}, or labels beside them"
        elif len(split) and not targets.any():
            return "has no image of any class"
        return ""
