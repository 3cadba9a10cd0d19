"""What evaluators see of a model: its features on a task's splits, computed once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import safetensors.numpy
import torch
from PIL.Image import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from bench.core.arrays import FloatArray, LabelArray, TargetArray
from bench.core.files import write_atomic
from bench.core.json_values import digest
from bench.core.task import Split
from bench.runtime.float32 import float32_products
from bench.runtime.inference import forward_all
from eval.features.penultimate import penultimate
from eval.features.task_images import TaskImages

KEPT_BYTES = 2**30
"""The features of the best epoch so far are kept if they take no more memory than this."""


Layer = Literal["projection", "penultimate"]


class Tower(Protocol):
    """The part of `adapt.models.Classifier` that is needed here."""

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

    def patch_tokens(self, images: Tensor) -> Tensor:
        """Return the tokens of patches ``[b, rows, columns, width]`` of images of any size."""


class ModelFeatures:
    """One model's features on one task's splits; a `bench.plugins.ModelView`.

    Args:
        model: The classifier.
        images: The task's images.
        text_head: Returns the weight of the prompts' head, ``[classes, dim]``.
        cache: A folder that keeps the features of unadapted models, which many runs share.
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
        self._computed: dict[tuple[str, str], FloatArray] = {}

    @property
    def nbytes(self) -> int:
        """Memory that the features computed so far take, in bytes."""
        return sum(features.nbytes for features in self._computed.values())

    def features(self, split: str) -> FloatArray:
        """Return L2-normalised features, float32 ``[n, dim]``."""
        return self._features(split, "projection")

    def penultimate(self, split: str) -> FloatArray:
        """Return the features before the projection, float32 ``[n, width]``."""
        return self._features(split, "penultimate")

    def augmented(self, split: str, layer: Layer, seed: tuple[int, ...]) -> FloatArray:
        """Return features of a random crop of each image, float32 ``[n, dim]``."""
        return self._extract(layer, self._images.crops(split, seed))

    def keys(self, split: str) -> Sequence[str]:
        """Return the images' keys."""
        return self._images.split(split).keys

    def seen(self, split: str) -> FloatArray:
        """Return features of a split that were computed already; if none were, the usual ones."""
        computed = (one for (of, _), one in self._computed.items() if of == split)
        found = next(computed, None)
        return self.features(split) if found is None else found

    def labels(self, split: str) -> LabelArray:
        """Return the labels, int64 ``[n]``."""
        return self._images.split(split).labels

    def targets(self, split: str) -> TargetArray | None:
        """Return which classes each image of a multi-label task has, bool ``[n, classes]``."""
        return self._images.split(split).targets

    def head_logits(self, split: str) -> FloatArray:
        """Return the classification head's logits, float32 ``[n, classes]``."""
        with torch.inference_mode(), float32_products():
            return _to_numpy(self._model.head(self._on_device(split)))

    def text_logits(self, split: str) -> FloatArray:
        """Return the logits of the prompts' head, float32 ``[n, classes]``."""
        with torch.inference_mode(), float32_products():
            return _to_numpy(self._on_device(split) @ self._text_head().T)

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return the classification head's weight ``[classes, dim]`` and bias ``[classes]``."""
        head = self._model.head
        return _to_numpy(head.weight.detach()), _to_numpy(head.bias.detach())

    def split(self, name: str) -> Split:
        """Return a split of the task: its images, and their masks where it has any."""
        return self._images.split(name)

    @property
    def image_size(self) -> int:
        """The side of the images that the model takes, in pixels; the greater of two."""
        return max(self._images.size)

    @property
    def scratch(self) -> Path:
        """A folder for large files that are needed for a while."""
        return self._images.folder

    def patch_tokens(self, read: Callable[[int], Image], n: int, size: int) -> Iterator[FloatArray]:
        """Yield the patch tokens of images in batches, float32 ``[b, rows, columns, width]``.

        They are not kept.

        Args:
            read: Returns the image at an index, RGB; it is made a square, whatever its sides.
            n: How many images there are.
            size: The square's side, in pixels.
        """
        self._model.eval()
        for batch in self._images.squares(read, n, size):
            yield forward_all(self._model.patch_tokens, [batch], self._model.device).numpy()

    def _on_device(self, split: str) -> Tensor:
        return torch.from_numpy(self.features(split)).to(self._model.device)

    def _features(self, split: str, layer: Layer) -> FloatArray:
        if (split, layer) not in self._computed:
            self._computed[split, layer] = self._cached(split, layer)
        return self._computed[split, layer]

    def _cached(self, split: str, layer: Layer) -> FloatArray:
        if self._cache is None:
            return self._extract(layer, self._images.batches(split))
        name = digest([self._model_hash, self._images.key(split), layer], length=24)
        path = self._cache / f"{name}.safetensors"
        features = _read(path, rows=len(self._images.split(split)))
        if features is None:
            features = self._extract(layer, self._images.batches(split))
            write_atomic(path, safetensors.numpy.save({"features": features}))
        return features

    def _extract(self, layer: Layer, batches: Iterable[Tensor]) -> FloatArray:
        self._model.eval()
        unprojected = partial(penultimate, self._model.visual)
        forward = self._model.features if layer == "projection" else unprojected
        features = forward_all(forward, batches, self._model.device)
        array: FloatArray = features.numpy()
        return array


def _read(path: Path, rows: int) -> FloatArray | None:
    """Return cached features, or None if they are missing, incomplete or not finite."""
    try:
        features: FloatArray = safetensors.numpy.load_file(path)["features"]
    except (OSError, SafetensorError, KeyError):
        return None
    complete = features.shape[0] == rows and bool(np.isfinite(features).all())
    return features if complete else None


def _to_numpy(values: Tensor) -> FloatArray:
    array: FloatArray = values.float().cpu().numpy()
    return array
