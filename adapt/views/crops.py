"""Random crops of small images, a batch at a time: Pillow's bicubic as two matrix products.

Cropped one by one with Pillow, images of 32 pixels cost a sixth of a training step of the miniature
CLIP, mostly in calls. Apart from its rounding, a resized crop is linear along each axis, so a batch
takes two matrix products. An image comes out the same to the bit in any batch, in any process and
on any processor (`adapt.views.whole_weights`).
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

from adapt.views import small_recipes
from adapt.views.small_recipes import SmallRecipe
from adapt.views.whole_weights import rounded, whole_weights
from bench.core.specs import Crop

SMALL = 64
"""The largest side, in pixels, of images that are cropped this way, before and after. Products of
larger matrices cost more than Pillow, and there the network costs more than either."""

_ATTEMPTS = 10
"""RandomResizedCrop makes as many before it takes the middle."""

_TOP, _LEFT, _SQUARE = range(2 * _ATTEMPTS, 2 * _ATTEMPTS + 3)
"""Places among a crop's random numbers, after two for each attempt: where the box is in the square
or image, and where the square is. A square image uses all but the last."""

NUMBERS = 2 * _ATTEMPTS + 3
"""Random numbers, uniform from 0 to 1, that a crop takes."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of a crop, in pixels."""


class SmallCrops:
    """RandomResizedCrop with bicubic interpolation, of small RGB images.

    Args:
        crop: The transform to replace.
        square: Whether it is given a random square of each image.
        recipe: What follows the crop, if anything.

    Attributes:
        numbers: Random numbers, uniform from 0 to 1, that an image takes.
        how: All that decides what is made of an image and its numbers.
    """

    def __init__(
        self,
        crop: Any,  # noqa: ANN401 (torchvision has no types)
        *,
        square: bool,
        recipe: SmallRecipe | None = None,
    ) -> None:
        self.numbers = NUMBERS + (small_recipes.NUMBERS if recipe else 0)
        self._square = square
        self._recipe = recipe
        self._size: tuple[int, int] = tuple(crop.size)
        self._scale: tuple[float, float] = tuple(crop.scale)
        self._ratio: tuple[float, float] = tuple(crop.ratio)
        self.how: tuple[object, ...] = (square, self._size, self._scale, self._ratio)
        self.how += recipe.how if recipe else ()

    @classmethod
    def of(cls, transform: Compose, crop: Crop = "square") -> "SmallCrops | None":
        """Return what replaces a transform of PIL images; None if it does anything else too."""
        first, *others = transform.transforms
        bicubic = (
            type(first) is RandomResizedCrop
            and first.interpolation == InterpolationMode.BICUBIC
            and max(first.size) <= SMALL
        )
        only_rgb = all(type(step) is MaybeConvertMode and step.mode == "RGB" for step in others)
        return cls(first, square=crop == "square") if bicubic and only_rgb else None

    def of_view(self, crop: RandomResizedCrop, recipe: SmallRecipe | None) -> "SmallCrops":
        """Return other crops of the same squares, and what follows them."""
        return SmallCrops(crop, square=self._square, recipe=recipe)

    def sample(self, images: Sequence[Tensor], numbers: Sequence[Sequence[float]]) -> Tensor:
        """Return a random crop of each image.

        Args:
            images: uint8 ``[3, h, w]``, of any small sizes.
            numbers: `self.numbers` random numbers from 0 to 1 for each image.

        Returns:
            uint8 ``[b, h, w, 3]``.
        """
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        boxes = [self.box(size, random) for size, random in zip(sizes, numbers, strict=True)]
        height, width = max(height for height, _ in sizes), max(width for _, width in sizes)
        pixels = torch.stack(
            [
                image if size == (height, width) else _padded(image, height, width)
                for image, size in zip(images, sizes, strict=True)
            ]
        ).float()
        rows = torch.stack([_weights(y, h, height, self._size[0]) for y, _, h, _ in boxes])
        columns = torch.stack([_weights(x, w, width, self._size[1]) for _, x, _, w in boxes])
        # Along rows first, and rounded in between, as Pillow does.
        halfway = rounded(pixels.flatten(1, 2) @ columns.mT).view(len(images), 3, height, -1)
        cropped = rounded(rows[:, None] @ halfway)
        if self._recipe:
            cropped = self._recipe.apply(cropped, [random[NUMBERS:] for random in numbers])
        return cropped.permute(0, 2, 3, 1).to(torch.uint8, memory_format=torch.contiguous_format)

    def box(self, size: tuple[int, int], numbers: Sequence[float]) -> Box:
        """Return a random crop of an image of some height and width."""
        if not self._square:
            return self._box(size, numbers)
        side = min(size)
        top, left = (int((length - side + 1) * numbers[_SQUARE]) for length in size)
        y, x, h, w = self._box((side, side), numbers)
        return top + y, left + x, h, w

    def _box(self, size: tuple[int, int], numbers: Sequence[float]) -> Box:
        """Return a crop as RandomResizedCrop does."""
        height, width = size
        low, top = math.log(self._ratio[0]), math.log(self._ratio[1])
        least, most = self._scale
        for place in range(0, 2 * _ATTEMPTS, 2):
            area = height * width * (least + (most - least) * numbers[place])
            ratio = math.exp(low + (top - low) * numbers[place + 1])
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                y, x = (height - h + 1) * numbers[_TOP], (width - w + 1) * numbers[_LEFT]
                return int(y), int(x), h, w
        w = min(width, round(height * self._ratio[1]))
        h = min(height, round(width / self._ratio[0]))
        return (height - h) // 2, (width - w) // 2, h, w


def random_square(image: Image) -> Image:
    """Return a square of an image's shortest side, at a random place along the longest.

    A square image is left as it is, and takes no random number.
    """
    side, spare = min(image.size), abs(image.width - image.height)
    if not spare:
        return image
    start = int(torch.randint(spare + 1, ()))
    left, top = (start, 0) if image.width > image.height else (0, start)
    return image.crop((left, top, left + side, top + side))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a small image of another width and height, uint8 ``[3, height, width]``.

    Args:
        image: uint8 ``[3, h, w]``.
        size: Its new width and height.
    """
    (_, height, width), (new_width, new_height) = image.shape, size
    halfway = rounded(image.float() @ _weights(0, width, width, new_width).mT)
    return rounded(_weights(0, height, height, new_height) @ halfway).to(torch.uint8)


def planar(image: Image) -> Tensor:
    """Return an image as uint8 ``[3, h, w]``."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).contiguous()


def is_small(width: int, height: int) -> bool:
    """Return whether an image is small enough to be cropped this way."""
    return max(width, height) <= SMALL


def _padded(image: Tensor, height: int, width: int) -> Tensor:
    padded = image.new_zeros(3, height, width)
    padded[:, : image.shape[1], : image.shape[2]] = image
    return padded


@lru_cache(maxsize=4096)
def _weights(start: int, length: int, size: int, new_size: int) -> Tensor:
    """Return the weights that resize a stretch of an axis, ``[new_size, size]``, times 2**15.

    They are Pillow's ``precompute_coeffs``: where an axis shrinks, the kernel is that much wider.
    """
    scale = length / new_size
    wider = max(scale, 1.0)
    centres = (np.arange(new_size)[:, None] + 0.5) * scale
    places = np.arange(length)[None]
    # Pillow cuts the kernel's support to whole pixels.
    first = np.maximum(np.floor(centres - 2 * wider + 0.5), 0)
    last = np.minimum(np.floor(centres + 2 * wider + 0.5), length)
    kernel = _bicubic((places - centres + 0.5) / wider) * ((places >= first) & (places < last))
    weights = torch.zeros(new_size, size)
    weights[:, start : start + length] = whole_weights(kernel)
    return weights


def _bicubic(x: Any) -> Any:  # noqa: ANN401
    """Return Keys's kernel with a = -0.5, which is 0 beyond 2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
