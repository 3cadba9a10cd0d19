"""A task's images as a model takes them: decoded and preprocessed once."""

import hashlib
from collections.abc import Callable, Iterator

import torch
from PIL.Image import Image
from torch import Tensor

from bench.core.json_values import digest
from bench.core.paths import Home
from bench.core.task import Split, Task
from bench.runtime.ahead import ahead, grouped
from bench.storage.image_codec import CODEC

KEPT_BYTES = 2**30
"""Splits that take no more memory than this are preprocessed once and kept."""

BATCH_SIZE = 256
"""Images in one forward pass, always the same, because features depend on it in their last bits."""


class TaskImages:
    """A task's images, preprocessed; shared by all models with the same preprocessing.

    Args:
        task: The task.
        home: Where its data is.
        preprocess: PIL image to float32 ``[3, h, w]``; its repr identifies it.
    """

    def __init__(self, task: Task, home: Home, preprocess: Callable[[Image], Tensor]) -> None:
        self.task = task
        self._home = home
        self._preprocess = preprocess
        self._splits: dict[str, Split] = {}
        self._kept: dict[str, list[Tensor]] = {}

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

    def _prepared(self, split: Split) -> Iterator[Tensor]:
        """Return a split's images in batches; threads prepare the next while one is used."""

        def prepare(row: int) -> Tensor:
            return self._preprocess(split.read(row))

        ready = ahead(prepare, range(len(split)), BATCH_SIZE)
        return map(torch.stack, grouped(ready, BATCH_SIZE))

    def key(self, name: str) -> str:
        """Return a hash of all that decides a split's preprocessed images and labels."""
        split = self.split(name)
        keys = hashlib.sha256("\0".join(split.keys).encode() + split.labels.tobytes())
        return digest(
            [self.task.fingerprint, name, keys.hexdigest(), repr(self._preprocess), CODEC]
        )
