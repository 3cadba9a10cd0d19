"""Splits for benchmarks that publish none, or none for validation: by the hashes of names."""

import hashlib
from functools import partial

from PIL.Image import Image

from bench.core.task import Split


def part_of_train(name: str, train: Split, share: float) -> Split:
    """Return train or val of a benchmark that has only train.

    The images whose names have the smallest SHA-256 are val, whatever their order in the file. That
    is ours: the paper does not say how the authors split, the authors' code has a seed.
    """
    order = _by_hash(train, range(len(train)))
    held_out = int(len(train) * share)
    return _part(name, train, order[:held_out] if name == "val" else order[held_out:])


def part_of_all(name: str, whole: Split, test_share: float, val_share: float) -> Split:
    """Return train, val or test of a benchmark that has no splits.

    Of every class, the images whose names have the smallest SHA-256 are test, and of the others
    those are val, as many as the shares say, rounded down.
    """
    by_label: dict[int, list[int]] = {}
    for at, label in enumerate(whole.labels.tolist()):
        by_label.setdefault(label, []).append(at)
    chosen: list[int] = []
    for of_class in by_label.values():
        order = _by_hash(whole, of_class)
        test = int(len(order) * test_share)
        val = test + int((len(order) - test) * val_share)
        chosen += {"test": order[:test], "val": order[test:val], "train": order[val:]}[name]
    return _part(name, whole, chosen)


def _by_hash(split: Split, rows: "range | list[int]") -> list[int]:
    return sorted(rows, key=lambda at: hashlib.sha256(split.keys[at].encode()).digest())


def _part(name: str, whole: Split, rows: list[int]) -> Split:
    """Return some images of a split, in its order."""
    chosen = sorted(rows)
    keys = [whole.keys[at] for at in chosen]
    targets = None if whole.targets is None else whole.targets[chosen]
    read = partial(_pick, whole, chosen)
    return Split(name, keys, whole.labels[chosen], read, targets, whole.files)


def _pick(whole: Split, chosen: list[int], index: int) -> Image:
    return whole.read(chosen[index])
