"""Random crops of a task's own images, as ImageNet's linear probes are trained on."""

import math

import numpy as np
from PIL.Image import Image, Resampling, Transpose
from torch import Tensor

from eval.features.pixels import Pixels, Preprocessing

SCALE = (0.08, 1.0)
"""Share of the image's area: that of ImageNet's random resized crop, torchvision's default."""

RATIO = (3 / 4, 4 / 3)
"""Width by height, as torchvision's default."""

_ATTEMPTS = 10
"""Boxes that are tried before the middle is taken."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom of a crop, in pixels."""


class RandomCrops:
    """Random resized crop with bicubic interpolation, and a flip of every second image.

    Args:
        preprocessing: The model's, for the size of a crop, the mean and the deviation.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing

    def crop(self, image: Image, seed: tuple[int, ...]) -> Pixels:
        """Return a crop that the seed decides, uint8 ``[h, w, 3]``."""
        random = np.random.default_rng(seed)
        height, width = self._preprocessing.size
        box = random_box(image.size, random)
        crop = image.convert("RGB").resize((width, height), Resampling.BICUBIC, box)
        if random.random() < 0.5:
            crop = crop.transpose(Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(crop)

    def normalised(self, crops: list[Pixels]) -> Tensor:
        """Return crops as the model takes them, float32 ``[n, 3, h, w]``."""
        return self._preprocessing.normalised(np.stack(crops))


def random_box(size: tuple[int, int], random: np.random.Generator) -> Box:
    """Return a box whose area is uniform in `SCALE`, and its ratio's logarithm in `RATIO`.

    If ten do not fit, it is the largest box in the middle whose ratio is in `RATIO`.

    Args:
        size: Width and height of the image, in pixels.
        random: Where random numbers are from.
    """
    width, height = size
    for _ in range(_ATTEMPTS):
        area = width * height * random.uniform(*SCALE)
        ratio = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left = int(random.integers(width - wide + 1))
            top = int(random.integers(height - high + 1))
            return left, top, left + wide, top + high
    wide = min(width, max(1, round(height * RATIO[1])))
    high = min(height, max(1, round(width / RATIO[0])))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high
