"""A task's images as a model takes them: decoded and preprocessed once."""

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor

from bench.core.errors import RequestError
from bench.core.files import file_states
from bench.core.json_values import digest
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Split, Task
from bench.runtime.ahead import ahead, grouped
from bench.storage.image_codec import CODEC
from eval.features.pixels import Pixels, Preprocessing, kept_pixels, pixel_stage
from eval.features.random_crops import RandomCrops

KEPT_BYTES = 2**30
"""Splits that take no more memory than this are preprocessed once and kept in it."""

LEAST_PIXEL_BYTES = 2**26
"""Splits that take no more than this as uint8 (445 images of 224 pixels) are decoded by each
process: it takes a few seconds."""

BATCH_SIZE = 256
"""Images in one forward pass, always the same, because features depend on it in their last bits."""


class TaskImages:
    """A task's images, preprocessed; shared by all models with the same preprocessing.

    Those of large splits are decoded once and kept on disk (`eval.features.pixels`).

    Args:
        task: The task.
        home: Where its data is.
        preprocess: PIL image to float32 ``[3, h, w]``; its repr identifies it.
        progress: Where to report what is decoded.
    """

    def __init__(
        self,
        task: Task,
        home: Home,
        preprocess: Callable[[Image], Tensor],
        progress: Progress | None = None,
    ) -> None:
        self.task = task
        self._home = home
        self._preprocess = preprocess
        self._halves = None if task.rendered else Preprocessing.of(preprocess)
        self._progress = progress or Progress(quiet=True)
        self._splits: dict[str, Split] = {}
        self._kept: dict[str, list[Tensor]] = {}
        self._states: dict[str, str] = {}

    @property
    def folder(self) -> Path:
        """Where decoded images and features are kept."""
        return self._home.data

    def split(self, name: str) -> Split:
        """Return a split, which is opened the first time."""
        if name not in self._splits:
            self._splits[name] = self.task.split(name, self._home)
        return self._splits[name]

    def batches(self, name: str) -> Iterator[Tensor]:
        """Yield a split's images in order, float32 ``[b, 3, h, w]``."""
        if name in self._kept:
            yield from self._kept[name]
            return
        kept: list[Tensor] = []
        n = len(self.split(name))
        for batch in self._prepared(self.split(name)):
            if batch[0].nbytes * n <= KEPT_BYTES:
                kept.append(batch)
            yield batch
        if kept:
            self._kept[name] = kept

    def crops(self, name: str, seed: tuple[int, ...]) -> Iterator[Tensor]:
        """Yield a random crop of each of a split's images, in order, float32 ``[b, 3, h, w]``.

        Raises:
            RequestError: If it is not known how the model's preprocessing scales images.
        """
        preprocessing, split = Preprocessing.of(self._preprocess), self.split(name)
        if preprocessing is None:
            raise RequestError(
                "random crops need a preprocessing of resizing, cropping and normalising, and the "
                "model's has other steps",
                "take whole images: --set evaluators.imagenet-probe.augment=false",
            )
        random = RandomCrops(preprocessing)

        def crop(row: int) -> Pixels:
            return random.crop(split.read(row), (*seed, row))

        ready = ahead(crop, range(len(split)), BATCH_SIZE)
        with self._progress.bar(f"crop {name}", len(split), "image") as bar:
            for some in grouped(ready, BATCH_SIZE):
                yield random.normalised(some)
                bar.advance(len(some))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the preprocessed images, in pixels."""
        return self._known.size

    def squares(self, read: Callable[[int], Image], n: int, side: int) -> Iterator[Tensor]:
        """Yield images as squares of another size, whole, float32 ``[b, 3, side, side]``.

        Batches have as many pixels as those of `batches` would at 224 by 224.

        Args:
            read: Returns the image at an index, RGB.
            n: How many images there are.
            side: In pixels.
        """
        known = self._known

        def prepare(row: int) -> Tensor:
            square = read(row).resize((side, side), Resampling.BICUBIC)
            return known.normalised(np.asarray(square)[None])[0]

        count = max(1, BATCH_SIZE * 224**2 // max(side, 224) ** 2)
        return map(torch.stack, grouped(ahead(prepare, range(n), count), count))

    @property
    def _known(self) -> Preprocessing:
        """The preprocessing in two halves.

        Raises:
            RequestError: If it has other steps than are known.
        """
        known = Preprocessing.of(self._preprocess)
        if known is None:
            raise RequestError(
                "the model's preprocessing has steps that cannot be done at another size",
                "leave out what needs patch tokens",
            )
        return known

    def _prepared(self, split: Split) -> Iterator[Tensor]:
        """Return a split's images in batches, from disk if they are kept there."""
        halves, pixels = self._halves, self._pixels(split)
        if halves is not None and pixels is not None:
            starts = range(0, len(pixels), BATCH_SIZE)
            return (halves.normalised(pixels[start : start + BATCH_SIZE]) for start in starts)

        def prepare(row: int) -> Tensor:
            return self._preprocess(split.read(row))

        # Threads prepare the next batch while one is used.
        ready = ahead(prepare, range(len(split)), BATCH_SIZE)
        return map(torch.stack, grouped(ready, BATCH_SIZE))

    def _pixels(self, split: Split) -> Pixels | None:
        """Return a split's decoded images on disk; None if they are not to be kept there."""
        if self._halves is None:
            return None
        needed = 3 * math.prod(self._halves.size) * len(split)
        if needed <= LEAST_PIXEL_BYTES:
            return None
        data, task = self._home.data, self.task
        stage = pixel_stage(
            data, task.fingerprint, split, self._halves, self._progress, self._state(split)
        )
        if not stage.done:
            data.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(data).free
            what = f"{len(split):,} images of {task.name}, {split.name}: {needed / 1e9:,.1f} GB"
            if needed > free / 2:
                self._progress.say(
                    f"{what} decoded would take more than half of the {free / 1e9:,.1f} GB free in "
                    f"{data}; they are decoded at every epoch"
                )
                return None
            self._progress.say(f"{what} decoded are kept in {stage.folder}")
        return kept_pixels(stage, split, self._halves, self._progress)

    def _state(self, split: Split) -> str:
        """Return a hash of the state of a split's files, as it was at first; empty without any."""
        if split.files and split.name not in self._states:
            self._states[split.name] = file_states(split.files)
        return self._states.get(split.name, "")

    def key(self, name: str) -> str:
        """Return a hash of all that decides a split's preprocessed images and labels."""
        split = self.split(name)
        keys = hashlib.sha256("\0".join(split.keys).encode() + split.labels.tobytes())
        decides = [self.task.fingerprint, name, keys.hexdigest(), repr(self._preprocess), CODEC]
        return digest([*decides, *filter(None, [self._state(split)])])
