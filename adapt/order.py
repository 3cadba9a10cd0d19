"""Which images each optimiser step takes: a function of the seed and of the spec alone."""

import hashlib
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.core.specs import TrainSpec


class SampledImage(NamedTuple):
    """One image of one batch."""

    pass_index: int
    """Which pass over the images this is, from 1; an epoch, unless `TrainSpec.steps` is set."""
    row: int
    copy: int = 0
    """How often the pass took the image before; above 0 only in balanced sampling."""


class BatchSchedule:
    """The batches of a training, epoch by epoch.

    Without `TrainSpec.steps` an epoch is one pass, and its last batch may be short. With it every
    batch is full, may reach from one pass into the next, and an epoch is a share of the steps.

    Args:
        spec: The training.
        labels: The images' classes.
        seed: The run's seed.
    """

    def __init__(self, spec: TrainSpec, labels: Sequence[int], seed: int) -> None:
        self._spec = spec
        self._labels = labels
        self._seed = seed
        # A batch may reach from one pass into the next.
        self._pass = lru_cache(maxsize=2)(self._sample_pass)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.steps_before(self._spec.epochs + 1)

    def steps_before(self, epoch: int) -> int:
        """Return how many steps are done when an epoch, counted from 1, begins."""
        if self._spec.steps is not None:
            return (epoch - 1) * self._spec.steps // self._spec.epochs
        return (epoch - 1) * -(-len(self._labels) // self._spec.batch_size)

    def images_before(self, epoch: int, step: int = 0) -> int:
        """Return how many images were used when a step of an epoch, counted from 0, begins."""
        size = self._spec.batch_size
        if self._spec.steps is not None:
            return (self.steps_before(epoch) + step) * size
        return (epoch - 1) * len(self._labels) + min(step * size, len(self._labels))

    def batches(self, epoch: int) -> list[list[SampledImage]]:
        """Return the images of each step of an epoch."""
        size = self._spec.batch_size
        if self._spec.steps is None:
            samples = self._pass(epoch)
            return [samples[start : start + size] for start in range(0, len(samples), size)]
        steps = range(self.steps_before(epoch), self.steps_before(epoch + 1))
        return [[self._at(place) for place in range(s * size, (s + 1) * size)] for s in steps]

    def _at(self, place: int) -> SampledImage:
        pass_index, index = divmod(place, len(self._labels))
        return self._pass(pass_index + 1)[index]

    def _sample_pass(self, pass_index: int) -> list[SampledImage]:
        if self._spec.sampling == "balanced":
            return balanced_pass(self._seed, pass_index, self._labels)
        return [
            SampledImage(pass_index, row)
            for row in epoch_order(self._seed, pass_index, len(self._labels))
        ]


def epoch_order(seed: int, epoch: int, n: int) -> list[int]:
    """Return the order of n images in an epoch; seed and epoch alone decide it."""
    generator = np.random.default_rng(stable_seed(seed, epoch, "order"))
    rows: list[int] = generator.permutation(n).tolist()
    return rows


def balanced_pass(seed: int, pass_index: int, labels: Sequence[int]) -> list[SampledImage]:
    """Return as many samples as there are images; the classes that have any take turns.

    A class goes through its images in a new order each pass, and starts again when they run out.
    """
    generator = np.random.default_rng(stable_seed(seed, pass_index, "balanced"))
    of_class = np.asarray(labels)
    classes, n = sorted(set(labels)), len(labels)
    rows = {
        label: generator.permutation(np.flatnonzero(of_class == label)).tolist()
        for label in classes
    }
    samples = []
    for turn in range(-(-n // len(classes))):
        for label in generator.permutation(classes).tolist():
            copy, index = divmod(turn, len(rows[label]))
            samples.append(SampledImage(pass_index, rows[label][index], copy))
    return samples[:n]


def stable_seed(*parts: object) -> int:
    """Return 63 bits that depend on the parts alone."""
    return int.from_bytes(hashlib.blake2b(_joined(parts), digest_size=8).digest(), "little") >> 1


def stable_numbers(count: int, *parts: object) -> list[float]:
    """Return numbers, uniform from 0 to below 1, that depend on the parts alone."""
    bits = struct.unpack(f"<{count}I", hashlib.shake_128(_joined(parts)).digest(4 * count))
    return [number / 2**32 for number in bits]


def _joined(parts: Sequence[object]) -> bytes:
    return "\0".join(map(str, parts)).encode()
