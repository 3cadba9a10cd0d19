"""What evaluators see of a model: its features on a task's splits, computed once."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import safetensors.numpy
import torch
from PIL.Image import Image
from safetensors import SafetensorError
from torch import Tensor

from bench.files import write_atomic
from bench.paths import Home
from bench.types import FloatArray, LabelArray, Split, Task, digest

KEPT_BYTES = 2**30
"""Splits that take no more memory than this, preprocessed, are preprocessed once and kept."""

BATCH_SIZE = 256
"""Images in one forward pass; fixed, so that features do not depend on who asks for them."""


class Tower(Protocol):
    """The part of a classifier that is needed here; `adapt.models.Classifier` has it."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""

    def eval(self) -> object:
        """Switch to evaluation."""

    def features(self, images: Tensor) -> Tensor:
        """Return L2-normalised features ``[b, dim]`` of images ``[b, 3, h, w]``."""

    def head(self, features: Tensor) -> Tensor:
        """Return logits ``[b, classes]`` of features."""


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
        for start in range(0, n, BATCH_SIZE):
            rows = range(start, min(start + BATCH_SIZE, n))
            batch = torch.stack([self._preprocess(self.split(name).read(row)) for row in rows])
            if batch[0].nbytes * n <= KEPT_BYTES:
                kept.append(batch)
            yield batch
        if kept:
            self._kept[name] = kept

    def key(self, name: str) -> str:
        """Return a hash of all that determines a split's preprocessed images and labels."""
        split = self.split(name)
        keys = hashlib.sha256("\0".join(split.keys).encode() + split.labels.tobytes())
        return digest([self.task.pin, name, keys.hexdigest(), repr(self._preprocess)])


class ModelFeatures:
    """One model's features on one task's splits; a `bench.types.ModelView`.

    Args:
        model: The classifier.
        images: The task's images.
        cache: A folder that keeps the features; for unadapted models only, which many runs share.
        weights_hash: The model's, needed with a cache.
    """

    def __init__(
        self, model: Tower, images: TaskImages, cache: Path | None = None, weights_hash: str = ""
    ) -> None:
        self.task = images.task
        self._model = model
        self._images = images
        self._cache = cache
        self._weights_hash = weights_hash
        self._features: dict[str, FloatArray] = {}

    def features(self, split: str) -> FloatArray:
        """Return L2-normalised features, float32 ``[n, dim]``."""
        if split not in self._features:
            self._features[split] = self._cached(split)
        return self._features[split]

    def labels(self, split: str) -> LabelArray:
        """Return the labels, int64 ``[n]``."""
        return self._images.split(split).labels

    def head_logits(self, split: str) -> FloatArray:
        """Return the classification head's logits, float32 ``[n, classes]``."""
        with torch.inference_mode():
            features = torch.from_numpy(self.features(split)).to(self._model.device)
            return _to_numpy(self._model.head(features))

    def _cached(self, split: str) -> FloatArray:
        if self._cache is None:
            return self._extract(split)
        name = digest([self._weights_hash, self._images.key(split)], length=24)
        path = self._cache / f"{name}.safetensors"
        features = _read(path, rows=len(self._images.split(split)))
        if features is None:
            features = self._extract(split)
            write_atomic(path, safetensors.numpy.save({"features": features}))
        return features

    def _extract(self, split: str) -> FloatArray:
        self._model.eval()
        with torch.inference_mode():
            batches = [
                _to_numpy(self._model.features(batch.to(self._model.device)))
                for batch in self._images.batches(split)
            ]
        return np.concatenate(batches)


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
