"""Random crops of small images, a batch at a time: Pillow's bicubic as two matrix products.

Cropped one by one with Pillow, an image of 32 pixels costs a sixth of a training step of the
miniature CLIP, most of it calls. A resized crop is linear along each axis but for its rounding, so
a batch takes two products. Weights are multiples of 2**-15: every sum is then exact in float32, and
an image comes out the same to the bit in any batch, process and processor.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from open_clip.transform import MaybeConvertMode
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms import Compose, InterpolationMode, RandomResizedCrop

SMALL = 64
"""The largest side, in pixels, of images that are cropped so, before and after. Products of larger
matrices cost more than Pillow, and there the network costs more than either."""

_TRIES = 10
"""As RandomResizedCrop has them, before it takes the middle."""

NUMBERS = 2 * _TRIES + 2
"""Random numbers, uniform from 0 to 1, that a crop takes."""

_UNIT = 2.0**15

Box = tuple[int, int, int, int]
"""Top, left, height and width of a crop, in pixels."""


class SmallCrops:
    """RandomResizedCrop with bicubic interpolation, of small RGB images.

    Args:
        crop: The transform that this stands for.
    """

    def __init__(self, crop: Any) -> None:  # noqa: ANN401 (torchvision has no types)
        self._size: tuple[int, int] = tuple(crop.size)
        self._scale: tuple[float, float] = tuple(crop.scale)
        self._ratio: tuple[float, float] = tuple(crop.ratio)

    @classmethod
    def of(cls, crop: Compose) -> "SmallCrops | None":
        """Return what stands for a transform of PIL images; None if it does anything else too."""
        first, *others = crop.transforms
        bicubic = (
            type(first) is RandomResizedCrop
            and first.interpolation == InterpolationMode.BICUBIC
            and max(first.size) <= SMALL
        )
        plain = all(type(one) is MaybeConvertMode and one.mode == "RGB" for one in others)
        return cls(first) if bicubic and plain else None

    def draw(self, images: Sequence[Tensor], numbers: Sequence[Sequence[float]]) -> Tensor:
        """Return a crop of each of some images.

        Args:
            images: uint8 ``[3, h, w]``, of any small sizes.
            numbers: For each image `NUMBERS` random ones from 0 to 1.

        Returns:
            uint8 ``[b, h, w, 3]``.
        """
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        boxes = [self.box(size, drawn) for size, drawn in zip(sizes, numbers, strict=True)]
        high, wide = max(high for high, _ in sizes), max(wide for _, wide in sizes)
        pixels = torch.stack(
            [
                image if size == (high, wide) else _padded(image, high, wide)
                for image, size in zip(images, sizes, strict=True)
            ]
        ).float()
        rows = torch.stack([_weights(y, h, high, self._size[0]) for y, _, h, _ in boxes])
        columns = torch.stack([_weights(x, w, wide, self._size[1]) for _, x, _, w in boxes])
        # Along rows first, and rounded between, as Pillow does.
        halfway = _rounded(pixels.flatten(1, 2) @ columns.mT).view(len(images), 3, high, -1)
        cropped = _rounded(rows[:, None] @ halfway)
        return cropped.permute(0, 2, 3, 1).to(torch.uint8, memory_format=torch.contiguous_format)

    def box(self, size: tuple[int, int], numbers: Sequence[float]) -> Box:
        """Return a random crop of an image, height and width given: RandomResizedCrop's rule."""
        high, wide = size
        low, top = math.log(self._ratio[0]), math.log(self._ratio[1])
        least, most = self._scale
        for place in range(0, 2 * _TRIES, 2):
            area = high * wide * (least + (most - least) * numbers[place])
            ratio = math.exp(low + (top - low) * numbers[place + 1])
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= wide and 0 < h <= high:
                return int((high - h + 1) * numbers[-2]), int((wide - w + 1) * numbers[-1]), h, w
        w = min(wide, round(high * self._ratio[1]))
        h = min(high, round(wide / self._ratio[0]))
        return (high - h) // 2, (wide - w) // 2, h, w


def planar(image: Image) -> Tensor:
    """Return an image as uint8 ``[3, h, w]``."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).contiguous()


def is_small(width: int, height: int) -> bool:
    """Return whether an image is."""
    return max(width, height) <= SMALL


def _padded(image: Tensor, high: int, wide: int) -> Tensor:
    padded = image.new_zeros(3, high, wide)
    padded[:, : image.shape[1], : image.shape[2]] = image
    return padded


def _rounded(values: Tensor) -> Tensor:
    return values.mul_(1 / _UNIT).add_(0.5).floor_().clamp_(0, 255)


@lru_cache(maxsize=4096)
def _weights(start: int, length: int, size: int, wanted: int) -> Tensor:
    """Return what resizes a stretch of an axis, float32 ``[wanted, size]``, times `_UNIT`.

    Pillow's ``precompute_coeffs``; where an axis shrinks, the kernel is as much wider.
    """
    scale = length / wanted
    wider = max(scale, 1.0)
    centres = (np.arange(wanted)[:, None] + 0.5) * scale
    places = np.arange(length)[None]
    # As Pillow cuts the kernel's support, to whole pixels.
    first = np.maximum(np.floor(centres - 2 * wider + 0.5), 0)
    last = np.minimum(np.floor(centres + 2 * wider + 0.5), length)
    kernel = _bicubic((places - centres + 0.5) / wider) * ((places >= first) & (places < last))
    found = np.zeros((wanted, size), np.float32)
    found[:, start : start + length] = np.round(kernel / kernel.sum(1, keepdims=True) * _UNIT)
    return torch.from_numpy(found)


def _bicubic(x: Any) -> Any:  # noqa: ANN401
    """Return Keys's kernel with a = -0.5, which is 0 from 2 on."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
