"""Cut the splits that a folder lacks from what it has: stratified by class, by the files' bytes.

Images of equal bytes go to one split, also where they are in several classes: a copy of a training
image among the test images would be no test.
"""

from collections.abc import Collection, Mapping, Sequence

from bench.core.task import SPLITS
from bench.storage.class_folders import LabelledFile

UNSORTED = ""
"""Stands for the split of images of which none is known."""

SPLITTING = 1
"""Raised whenever equal files are split otherwise; part of the task's fingerprint."""

_SHARE = 5
"""A fifth goes to each split that is cut from another, the rest to train: 60 % train, 20 % val and
20 % test of images that have no splits."""

Splits = dict[str, list[LabelledFile]]
"""Name of a split to its images."""


def to_cut(given: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Return which of the given splits is cut, and into which; nothing if all are given.

    Images without a split are cut into all three, and so is a split that is alone. Of two, train is
    cut; val, where train is what lacks.
    """
    if set(SPLITS) <= set(given):
        return UNSORTED, ()
    source = next(name for name in (UNSORTED, *SPLITS) if name in given)
    return source, tuple(name for name in SPLITS if name == source or name not in given)


def cut(images: Sequence[LabelledFile], hashes: Mapping[str, str], into: Sequence[str]) -> Splits:
    """Return images in splits: of each class the right number, but for copies to within one image.

    Args:
        images: The images.
        hashes: Name of an image to the hash of its bytes, whose order is the images'.
        into: The splits, train first.
    """
    by_class: dict[str, dict[str, list[LabelledFile]]] = {}
    for image in images:
        copies = by_class.setdefault(image.class_name, {}).setdefault(hashes[image.name], [])
        copies.append(image)
    place: dict[str, str] = {}
    splits: Splits = {name: [] for name in into}
    for _, groups in sorted(by_class.items()):
        room = _numbers(sum(map(len, groups.values())), into)
        # Copies of what another class has, then the largest groups of copies, find room first.
        for key in sorted(groups, key=lambda key: (key not in place, -len(groups[key]), key)):
            name = place.setdefault(key, max(into, key=room.__getitem__))
            room[name] -= len(groups[key])
            splits[name] += groups[key]
    return splits


def _numbers(count: int, into: Sequence[str]) -> dict[str, int]:
    """Return how many of a class's images go to each split: the first to train, then test, val."""
    first, *others = into
    numbers = {name: max(1, round(count / _SHARE)) for name in others}
    for name in others:
        if sum(numbers.values()) >= count:
            numbers[name] = 0
    return {first: count - sum(numbers.values()), **numbers}
