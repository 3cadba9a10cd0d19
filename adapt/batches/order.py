"""Which images each optimiser step takes: a function of the seed and of the spec alone."""

import hashlib
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.core.errors import RequestError
from bench.core.specs import TrainSpec
from bench.plugins.objective import Needs

IntArray = npt.NDArray[np.int64]


class SampledImage(NamedTuple):
    """One image of one batch."""

    pass_index: int
    """Which pass over the images this is, from 1; an epoch, unless `TrainSpec.steps` is set."""
    row: int
    copy: int = 0
    """How often the pass took the image before; above 0 only in balanced sampling."""


class BatchSchedule:
    """The batches of a training, epoch by epoch.

    A pass takes each image once; or tuples, each of ``per_group`` images of one group, which stay
    together. Without `TrainSpec.steps` an epoch is one pass, and its last batch may be short. With
    it, and in a seamless schedule, every batch is full and may reach from one pass into the next.
    An epoch is then a share of the steps, or the batches that end in its pass.

    Args:
        spec: The training; `check_batches` says whether it fits.
        labels: The images' classes.
        seed: The run's seed.
        groups: Which group each image belongs to; None if each is its own.
        per_group: Images of a tuple. What remains of a group is left out of a pass; the next pass
            leaves out other images.
        pairs: Which pair each image belongs to, if those of one are to be adjacent.
        seamless: Whether no batch may be short.

    Attributes:
        per_group: Images of a tuple.
        images_per_pass: Images that a pass takes.

    Raises:
        ValueError: If the training has images of a pair adjacent, and it is not said which.
    """

    def __init__(  # noqa: PLR0913 (an order depends on all these)
        self,
        spec: TrainSpec,
        labels: Sequence[int],
        seed: int,
        *,
        groups: Sequence[int] | None = None,
        per_group: int = 1,
        pairs: IntArray | None = None,
        seamless: bool = False,
    ) -> None:
        if spec.adjacent and pairs is None:
            raise ValueError(f"train.adjacent={spec.adjacent} needs each image's pair")
        self._spec = spec
        self._pairs = pairs
        self._labels = labels
        self._seed = seed
        self._groups = np.asarray(range(len(labels)) if groups is None else groups)
        self.per_group = per_group
        self._all_full = seamless or spec.steps is not None
        self.images_per_pass = images_per_pass(self._groups, per_group)
        # A batch may reach from one pass into the next.
        self._pass = lru_cache(maxsize=2)(self._sample_pass)

    @property
    def least(self) -> int:
        """Images of the smallest batch."""
        size = self._spec.batch_size
        return size if self._all_full else (self.images_per_pass % size or size)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.steps_before(self._spec.epochs + 1)

    def steps_before(self, epoch: int) -> int:
        """Return how many steps are done when an epoch, counted from 1, begins."""
        if self._spec.steps is not None:
            return (epoch - 1) * self._spec.steps // self._spec.epochs
        if self._all_full:
            return (epoch - 1) * self.images_per_pass // self._spec.batch_size
        return (epoch - 1) * -(-self.images_per_pass // self._spec.batch_size)

    def images_before(self, epoch: int, step: int = 0) -> int:
        """Return how many images were used when a step of an epoch, counted from 0, begins."""
        size = self._spec.batch_size
        if self._all_full:
            return (self.steps_before(epoch) + step) * size
        return (epoch - 1) * self.images_per_pass + min(step * size, self.images_per_pass)

    def batches(self, epoch: int) -> list[list[SampledImage]]:
        """Return the images of each step of an epoch."""
        steps = range(self.steps_before(epoch), self.steps_before(epoch + 1))
        return [self.batch(step) for step in steps]

    def batch(self, step: int) -> list[SampledImage]:
        """Return the images of a step of the training, counted from 0."""
        size = self._spec.batch_size
        if self._all_full:
            return self._from(step * size, (step + 1) * size)
        passes, within = divmod(step, self.steps_before(2))
        start = passes * self.images_per_pass
        return self._from(
            start + within * size, start + min((within + 1) * size, self.images_per_pass)
        )

    def _from(self, start: int, stop: int) -> list[SampledImage]:
        """Return what stands between two places in all passes, one after the other."""
        samples: list[SampledImage] = []
        while start < stop:
            passes, first = divmod(start, self.images_per_pass)
            last = min(first + stop - start, self.images_per_pass)
            sampled = self._pass(passes + 1)
            pairs = zip(
                sampled.rows[first:last].tolist(), sampled.copies[first:last].tolist(), strict=True
            )
            samples += [SampledImage(passes + 1, row, copy) for row, copy in pairs]
            start += last - first
        return samples

    def _sample_pass(self, pass_index: int) -> "_Pass":
        if self.per_group > 1 or self._pairs is not None:
            return self._sample_tuples(pass_index)
        if self._spec.sampling == "balanced":
            return _Pass.of(balanced_pass(self._seed, pass_index, self._labels))
        return _Pass.once(epoch_order(self._seed, pass_index, len(self._labels)))

    def _sample_tuples(self, pass_index: int) -> "_Pass":
        tuples = tuples_of_pass(self._seed, pass_index, self._groups, self.per_group)
        if self._pairs is not None:
            tuples = pair_by_pair(self._seed, pass_index, tuples, self._pairs)
        if self._spec.sampling == "uniform":
            return _Pass.once(tuples.ravel())
        # A group's images are of one class, so classes can take turns tuple by tuple.
        labels = np.asarray(self._labels)[tuples[:, 0]].tolist()
        turns = _Pass.of(balanced_pass(self._seed, pass_index, labels))
        return _Pass(tuples[turns.rows].ravel(), np.repeat(turns.copies, self.per_group))


class _Pass(NamedTuple):
    """What a pass takes, in order; arrays, as it may be tens of millions of images."""

    rows: IntArray
    copies: IntArray

    @classmethod
    def once(cls, rows: IntArray) -> "_Pass":
        """Return a pass that takes each image once."""
        return cls(rows, np.zeros(len(rows), np.int64))

    @classmethod
    def of(cls, samples: Sequence[SampledImage]) -> "_Pass":
        """Return a pass that takes these images."""
        pairs = np.array([(sample.row, sample.copy) for sample in samples], np.int64)
        return cls(*pairs.reshape(-1, 2).T)


def check_batches(spec: TrainSpec, needs: Needs, processes: int, images: int | None = None) -> None:
    """Check that every batch can be of whole groups, and shared equally if its images are coupled.

    Args:
        spec: The training.
        needs: What its objective needs.
        processes: How many train together.
        images: Images of a pass, as `images_per_pass` counts them; None if not known yet.

    Raises:
        RequestError: If not, or if a batch of coupled images is one group or more than a pass; or
            if what is adjacent does not matter to the objective, or has another order.
    """
    if spec.adjacent:
        _check_adjacent(spec, needs)
    size, per_group = spec.batch_size, needs.per_group
    unit = per_group * processes if needs.coupled else per_group
    least = max(unit, 2 * per_group) if needs.coupled else unit
    if size % unit:
        reasons = [f"{per_group} images of a group stay together"] if per_group > 1 else []
        reasons += [f"{processes} processes take equal shares"] if unit > per_group else []
        near = max(least, size // unit * unit)
        raise RequestError(
            f"train.batch_size={size} is no multiple of {unit}: {' and '.join(reasons)}",
            f"set train.batch_size to a multiple of {unit}, such as {near} or {near + unit}",
        )
    if size < least:
        one = "one image" if per_group == 1 else f"{per_group} images of one group"
        raise RequestError(
            f"train.batch_size={size} is {one}, and this objective compares a batch's groups",
            f"set train.batch_size={least} or more",
        )
    if needs.coupled and images is not None and size > images:
        more = "ask for more images"
        if needs.group == "caption" and per_group > 1:
            more += ", or for more of each caption (source.images_per_caption)"
        fewer = f", or set train.batch_size={images // unit * unit}" if images >= least else ""
        raise RequestError(
            f"train.batch_size={size} is more than the {images} images of a pass, and this "
            "objective compares the images of a batch",
            f"{more}{fewer}",
        )


def _check_adjacent(spec: TrainSpec, needs: Needs) -> None:
    if needs.group != "caption" or not needs.coupled:
        raise RequestError(
            f"train.adjacent={spec.adjacent} has a batch compare prompts that differ in one word, "
            "and this objective does not compare images of captions",
            "leave it out, or take --objective stablerep",
        )
    if spec.sampling != "uniform":
        raise RequestError(
            f"train.sampling={spec.sampling} takes classes in turn, and "
            f"train.adjacent={spec.adjacent} templates",
            "leave out one of them",
        )


def images_per_pass(groups: Sequence[int] | IntArray, per_group: int) -> int:
    """Return how many images a pass takes: of each group, as many whole tuples as it has."""
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes // per_group * per_group).sum())


def tuples_of_pass(seed: int, pass_index: int, groups: IntArray, per_group: int) -> IntArray:
    """Return the rows of a pass's tuples, int64 ``[tuples, per_group]``; they are others each pass.

    Args:
        seed: The run's seed.
        pass_index: The pass, counted from 1.
        groups: Which group each row belongs to, int64 ``[rows]``.
        per_group: Images of a tuple.
    """
    generator = np.random.default_rng(stable_seed(seed, pass_index, "tuples"))
    rows = generator.permutation(len(groups))
    rows = rows[np.argsort(groups[rows], kind="stable")]
    _, starts, sizes = np.unique(groups[rows], return_index=True, return_counts=True)
    places = np.arange(len(rows)) - np.repeat(starts, sizes)
    whole = places < np.repeat(sizes // per_group * per_group, sizes)
    return generator.permutation(rows[whole].reshape(-1, per_group))


def pair_by_pair(seed: int, pass_index: int, tuples: IntArray, pairs: IntArray) -> IntArray:
    """Return a pass's tuples, those of a pair one after the other; pairs are in a random order.

    Args:
        seed: The run's seed.
        pass_index: The pass, counted from 1.
        tuples: Their rows, int64 ``[tuples, per_group]``, in the order that they keep in a pair.
        pairs: Which pair each row belongs to, numbered from 0, int64 ``[rows]``.
    """
    generator = np.random.default_rng(stable_seed(seed, pass_index, "pairs"))
    turns = generator.permutation(pairs.max() + 1)
    return tuples[np.argsort(turns[pairs[tuples[:, 0]]], kind="stable")]


def epoch_order(seed: int, epoch: int, n: int) -> IntArray:
    """Return the order of n images in an epoch, int64 ``[n]``; seed and epoch alone decide it."""
    return np.random.default_rng(stable_seed(seed, epoch, "order")).permutation(n)


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
