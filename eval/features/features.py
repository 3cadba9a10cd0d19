"""What evaluators see of a model: its features on a task's splits, computed once."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import safetensors.numpy
import torch
from PIL.Image import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from bench.core.arrays import FloatArray, LabelArray
from bench.core.files import write_atomic
from bench.core.json_values import digest
from bench.core.paths import Home
from bench.core.task import Split, Task
from bench.runtime import threads
from eval.features.penultimate import penultimate

KEPT_BYTES = 2**30
"""Splits that take no more memory than this, preprocessed, are preprocessed once and kept; so are
the features of an epoch that may be the chosen one."""

BATCH_SIZE = 256
"""Images in one forward pass; fixed, so that features do not depend on who asks for them."""

MOST_THREADS = 16
"""Threads that decode and preprocess; more than this, and one device does not keep up."""


class Tower(Protocol):
    """The part of a classifier that is needed here; `adapt.models.Classifier` has it."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""

    def eval(self) -> object:
        """Switch to evaluation."""

    @property
    def visual(self) -> nn.Module:
        """CLIP's image tower, its projection included."""

    @property
    def head(self) -> nn.Linear:
        """The classification head: features to logits."""

    def features(self, images: Tensor) -> Tensor:
        """Return L2-normalised features ``[b, dim]`` of images ``[b, 3, h, w]``."""


class TaskImages:
    """A task's images, preprocessed; shared by all models that take them alike.

    Args:
        task: The task.
        home: Where its data is.
        preprocess: PIL image to float32 ``[3, h, w]``; its repr must say what it does.
    """

    def __init__(self, task: Task, home: Home, preprocess: Callable[[Image], Tensor]) -> None:
        self.task = task
        self._home = home
        self._preprocess = preprocess
        self._splits: dict[str, Split] = {}
        self._kept: dict[str, list[Tensor]] = {}

    def split(self, name: str) -> Split:
        """Return a split, opened the first time it is asked for."""
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
        """Yield a split's images; while a batch is looked at, threads prepare the next."""
        n = len(split)
        batches = [range(start, min(start + BATCH_SIZE, n)) for start in range(0, n, BATCH_SIZE)]

        def prepare(row: int) -> Tensor:
            return self._preprocess(split.read(row))

        with ThreadPoolExecutor(min(threads.cores(), MOST_THREADS)) as pool:
            ahead = pool.map(prepare, range(0))
            for following in [*batches, range(0)]:
                current, ahead = ahead, pool.map(prepare, following)
                if images := list(current):
                    yield torch.stack(images)

    def key(self, name: str) -> str:
        """Return a hash of all that determines a split's preprocessed images and labels."""
        split = self.split(name)
        keys = hashlib.sha256("\0".join(split.keys).encode() + split.labels.tobytes())
        return digest([self.task.fingerprint, name, keys.hexdigest(), repr(self._preprocess)])


class ModelFeatures:
    """One model's features on one task's splits; a `bench.plugins.ModelView`.

    Args:
        model: The classifier.
        images: The task's images.
        text_head: Returns the weight of the head that the prompts give, ``[classes, dim]``.
        cache: A folder that keeps the features; for unadapted models only, which many runs share.
        model_hash: Of the model's configuration and weights, needed with a cache.
    """

    def __init__(
        self,
        model: Tower,
        images: TaskImages,
        text_head: Callable[[], Tensor],
        *,
        cache: Path | None = None,
        model_hash: str = "",
    ) -> None:
        self.task = images.task
        self._model = model
        self._images = images
        self._text_head = text_head
        self._cache = cache
        self._model_hash = model_hash
        self._found: dict[tuple[str, str], FloatArray] = {}

    @property
    def nbytes(self) -> int:
        """Memory that the features computed so far take, in bytes."""
        return sum(features.nbytes for features in self._found.values())

    def features(self, split: str) -> FloatArray:
        """Return L2-normalised features, float32 ``[n, dim]``."""
        return self._once(split, "projection", self._model.features)

    def penultimate(self, split: str) -> FloatArray:
        """Return the features before the projection, float32 ``[n, width]``."""
        return self._once(split, "penultimate", partial(penultimate, self._model.visual))

    def labels(self, split: str) -> LabelArray:
        """Return the labels, int64 ``[n]``."""
        return self._images.split(split).labels

    def head_logits(self, split: str) -> FloatArray:
        """Return the classification head's logits, float32 ``[n, classes]``."""
        with torch.inference_mode():
            return _to_numpy(self._model.head(self._on_device(split)))

    def text_logits(self, split: str) -> FloatArray:
        """Return the logits of the head that the prompts give, float32 ``[n, classes]``."""
        with torch.inference_mode():
            return _to_numpy(self._on_device(split) @ self._text_head().T)

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return the classification head's weight ``[classes, dim]`` and bias ``[classes]``."""
        head = self._model.head
        return _to_numpy(head.weight.detach()), _to_numpy(head.bias.detach())

    def _on_device(self, split: str) -> Tensor:
        return torch.from_numpy(self.features(split)).to(self._model.device)

    def _once(self, split: str, layer: str, forward: Callable[[Tensor], Tensor]) -> FloatArray:
        if (split, layer) not in self._found:
            self._found[split, layer] = self._cached(split, layer, forward)
        return self._found[split, layer]

    def _cached(self, split: str, layer: str, forward: Callable[[Tensor], Tensor]) -> FloatArray:
        if self._cache is None:
            return self._extract(split, forward)
        name = digest([self._model_hash, self._images.key(split), layer], length=24)
        path = self._cache / f"{name}.safetensors"
        features = _read(path, rows=len(self._images.split(split)))
        if features is None:
            features = self._extract(split, forward)
            write_atomic(path, safetensors.numpy.save({"features": features}))
        return features

    def _extract(self, split: str, forward: Callable[[Tensor], Tensor]) -> FloatArray:
        self._model.eval()
        with torch.inference_mode():
            rows = [
                forward(batch.to(self._model.device)).float()
                for batch in self._images.batches(split)
            ]
        return _to_numpy(torch.cat(rows))


def _read(path: Path, rows: int) -> FloatArray | None:
    """Return cached features, or None if they are not there, not whole or not finite."""
    try:
        features: FloatArray = safetensors.numpy.load_file(path)["features"]
    except (OSError, SafetensorError, KeyError):
        return None
    whole = features.shape[0] == rows and bool(np.isfinite(features).all())
    return features if whole else None


def _to_numpy(values: Tensor) -> FloatArray:
    array: FloatArray = values.float().cpu().numpy()
    return array
