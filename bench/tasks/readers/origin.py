"""Where a copy of a published task is from: what every reader has, and how its classes are spelt.

A reader returns a `Listing`, in the numbers and the spelling of its vendor. `labelled` makes a
`Split` of it: **by name**, so that no vendor's numbers are ever taken for the task's.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL.Image import Image

from bench.core.arrays import LabelArray, TargetArray
from bench.core.config import Config
from bench.core.names import composed
from bench.core.task import NO_LABEL, Split


class FaultError(Exception):
    """What is wrong with a copy, in one line.

    Args:
        what: The fault; it names the file.
        absent: Whether something is not there, rather than wrong.
        fix: What mends it, where another copy does not.
    """

    def __init__(self, what: str, *, absent: bool = False, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.absent = absent
        self.fix = fix


@dataclass(frozen=True)
class Listing:
    """One split as a vendor has it.

    Attributes:
        names: The vendor's class names, in the vendor's order.
        keys: One unique name per image.
        numbers: The vendor's class numbers, int64 ``[n]``: indices into `names`; `NO_LABEL` where
            images have several.
        read: Returns the image at an index.
        source: What has the class names, for messages.
        fix: What mends wrong class names, where another copy does not.
        targets: Which of the names each image has, bool ``[n, names]``, where images have several.
        files: The files that the images are read from.
    """

    names: Sequence[str]
    keys: Sequence[str]
    numbers: LabelArray
    read: Callable[[int], Image]
    source: str
    fix: str = ""
    targets: TargetArray | None = None
    files: Sequence[Path] = ()


class Origin(Config, frozen=True, kw_only=True, tag_field="reader", omit_defaults=True):
    """A place that a task's images come from; a file of a reader has the subclass.

    All that is here is part of the fingerprint of a task that is read from it.
    """

    numbered: ClassVar[bool] = True
    """Whether the vendor's order of classes gives labels their meaning."""

    class_names: dict[str, str] = {}
    """The vendor's spelling to the task's. With all classes, in the vendor's order. With fewer, the
    others are spelt alike, and the order is the task's."""
    split_contents: dict[str, str] = {}
    """`Split.content` of the official splits as this reader names images."""
    some_classes: bool = False
    """Whether this origin has the classes of `class_names` alone, as shifted splits may."""

    @property
    def label(self) -> str:
        """What tells this origin from the task's others."""
        raise NotImplementedError

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that this origin has: the vendor's ones, under the task's names."""
        raise NotImplementedError

    def is_there(self, folder: Path) -> bool:
        """Return whether a copy from this origin is below the task's folder, whole or not."""
        raise NotImplementedError

    def has_split(self, split: str, folder: Path) -> bool:
        """Return whether a split of this origin is there, whole or not."""
        return self.is_there(folder)

    def read(self, split: str, folder: Path) -> Listing:
        """Return one split; no image is decoded.

        Raises:
            FaultError: If a file is not there, or not what it should be.
        """
        raise NotImplementedError

    def listed_in(self, split: str, folder: Path) -> Path:
        """Return the file or folder that lists a split, for messages."""
        raise NotImplementedError

    def check_images(self, split: Split, folder: Path) -> None:
        """Make sure that every image of a split is on disk, by its name.

        Raises:
            FaultError: If one is not.
        """

    def expected_names(self, class_names: Sequence[str]) -> dict[str, str]:
        """Return the vendor's spelling of every class to the task's, in the vendor's order."""
        if self.some_classes or len(self.class_names) >= len(class_names):
            return self.class_names
        spelt = {ours: vendor for vendor, ours in self.class_names.items()}
        return {spelt.get(name, name): name for name in class_names}


def labelled(
    listing: Listing, name: str, class_names: Sequence[str], expected: Mapping[str, str], *,
    numbered: bool,
) -> Split:  # fmt: skip
    """Return a vendor's split with the task's labels.

    Args:
        listing: The vendor's split.
        name: The task's name of it.
        class_names: The task's class names.
        expected: `Origin.expected_names`.
        numbered: `Origin.numbered`; only then does the vendor's order have to be the expected one.

    Raises:
        FaultError: If the vendor's classes are not the expected ones, or a number is none of them.
    """
    found = [composed(vendor) for vendor in listing.names]
    ours = {composed(vendor): composed(name) for vendor, name in expected.items()}
    if what := difference(list(ours), found, numbered=numbered):
        raise FaultError(f"{listing.source} {what}", fix=listing.fix)
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    labels = np.array([label_of[ours[vendor]] for vendor in found], np.int64)
    if listing.targets is None:
        _check_range(listing)
        numbers = labels[listing.numbers]
        return Split(name, listing.keys, numbers, listing.read, files=listing.files)
    targets = np.zeros((len(listing.targets), len(class_names)), np.bool_)
    targets[:, labels] = listing.targets
    none = np.full(len(targets), NO_LABEL, np.int64)
    return Split(name, listing.keys, none, listing.read, targets, listing.files)


def difference(expected: Sequence[str], found: Sequence[str], *, numbered: bool) -> str:
    """Return in what a vendor's class names differ from the expected ones; nothing if they agree.

    Args:
        expected: The names as declared.
        found: The names as read.
        numbered: Whether their order counts.
    """
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        return f"has the class {twice[0]!r} twice"
    missing = [name for name in expected if name not in set(found)]
    further = [name for name in found if name not in set(expected)]
    if missing or further:
        parts = [f"not {missing[0]!r}"] if missing else []
        parts += [f"{further[0]!r}, which is none of them"] if further else []
        return (
            f"has other class names: {len(found)} where {len(expected)} are expected; "
            f"{' and '.join(parts)}"
        )
    if numbered and list(found) != list(expected):
        at = next(at for at, name in enumerate(expected) if found[at] != name)
        return (
            f"has other class names, or in another order: number {at} is {found[at]!r}, "
            f"expected {expected[at]!r}"
        )
    return ""


def _check_range(listing: Listing) -> None:
    numbers, most = listing.numbers, len(listing.names) - 1
    if not len(numbers):
        raise FaultError(f"{listing.source} lists no images")
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high > most:
        raise FaultError(
            f"{listing.source} has labels outside its classes: from {low} to {high}, "
            f"expected from 0 to {most}"
        )


def class_counts(split: Split, classes: int) -> LabelArray:
    """Return how many images of a split each class has, int64 ``[classes]``."""
    if split.targets is not None:
        counts: LabelArray = split.targets.astype(np.int64).sum(axis=0)
        return counts
    return np.bincount(split.labels, minlength=classes).astype(np.int64)


def count_table(split: Split, class_names: Sequence[str]) -> str:
    """Return the SHA-256 of the sorted lines ``CLASS NAME<tab>COUNT`` of a split.

    It is the same for every origin of a task, whatever its images are called.
    """
    counts = class_counts(split, len(class_names)).tolist()
    lines = sorted(f"{name}\t{count}\n" for name, count in zip(class_names, counts, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
