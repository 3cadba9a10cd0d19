"""What evaluators are tried on: a model whose features are given."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image

from bench.core.arrays import FloatArray, LabelArray, TargetArray
from bench.core.task import Split, Task
from tests.support.tiny_clip import colour_task

Data = tuple[FloatArray, LabelArray]


class View:
    """A model whose features are given; it notes which splits are opened.

    Its text head and its trained head look at the first three dimensions, one per class; the
    trained one takes class 0 for class 1 and the other way round.
    """

    def __init__(
        self,
        splits: dict[str, Data],
        task: Task | None = None,
        targets: dict[str, TargetArray] | None = None,
    ) -> None:
        self.task = task or colour_task()
        self.opened: set[str] = set()
        self.splits = splits
        self.several = targets or {}

    def features(self, split: str) -> FloatArray:
        self.opened.add(split)
        return self.splits[split][0]

    def penultimate(self, split: str) -> FloatArray:
        """As long again as the features, and another length for every image."""
        features = self.features(split)
        lengths = 1 + np.arange(len(features), dtype=np.float32)[:, None]
        return np.hstack([features, features]) * lengths

    def augmented(
        self, split: str, layer: Literal["projection", "penultimate"], seed: tuple[int, ...]
    ) -> FloatArray:
        """The features, moved a little."""
        features = self.features(split) if layer == "projection" else self.penultimate(split)
        moved = np.random.default_rng(seed).normal(0, 0.01, features.shape)
        return features + moved.astype(np.float32)

    def keys(self, split: str) -> list[str]:
        return [f"{split}/{index}" for index in range(len(self.splits[split][1]))]

    def labels(self, split: str) -> LabelArray:
        return self.splits[split][1]

    def targets(self, split: str) -> TargetArray | None:
        return self.several.get(split)

    def head_logits(self, split: str) -> FloatArray:
        weight, bias = self.head()
        return self.features(split) @ weight.T + bias

    def text_logits(self, split: str) -> FloatArray:
        return self.features(split)[:, :3]

    def head(self) -> tuple[FloatArray, FloatArray]:
        dim = self.splits["train"][0].shape[1]
        return np.eye(3, dim, dtype=np.float32)[[1, 0, 2]], np.zeros(3, np.float32)

    image_size = 32
    scratch = Path()

    def split(self, name: str) -> Split:
        raise NotImplementedError

    def patch_tokens(self, read: Callable[[int], Image], n: int, size: int) -> Iterator[FloatArray]:
        raise NotImplementedError


def blobs(n: int, seed: int, spread: float) -> Data:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    points = np.eye(3, 8)[labels] + spread * generator.normal(size=(n, 8))
    return points.astype(np.float32), labels
