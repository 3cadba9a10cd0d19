"""Some images lose their detail before they are cropped: no more than a small image would have."""

from PIL.Image import Image, Resampling
from torch import Tensor

from adapt.batches.order import stable_numbers
from adapt.views.crops import resized
from adapt.views.recipes import SIDE

SIDES = (64, 128)
"""Pixels that the shortest side is brought down to, of images for a model of `SIDE`; each as often
as the other (StableRep's code, dataset/util.py:22-54, where images have 256)."""


class Downsample:
    """Brings some images down to fewer pixels, and back.

    Whether an image is chosen is a random number of its own: its crop and colours stay as they are.

    Args:
        share: The probability.
        side: Pixels of the model's side.
    """

    def __init__(self, share: float, side: int) -> None:
        self._share = share
        self._sides = [max(1, round(pixels * side / SIDE)) for pixels in SIDES]

    def of_image(self, image: Image, identity: tuple[object, ...]) -> Image:
        """Return an image, by Pillow.

        Args:
            image: The image, in RGB.
            identity: All that its random numbers depend on.
        """
        size = self._smaller(image.size, identity)
        if size is None:
            return image
        return image.resize(size, Resampling.BICUBIC).resize(image.size, Resampling.BICUBIC)

    def of_small(self, image: Tensor, identity: tuple[object, ...]) -> Tensor:
        """Return the same of a small image, uint8 ``[3, h, w]``."""
        height, width = image.shape[1:]
        size = self._smaller((width, height), identity)
        if size is None:
            return image
        return resized(resized(image, size), (width, height))

    def _smaller(
        self, size: tuple[int, int], identity: tuple[object, ...]
    ) -> tuple[int, int] | None:
        """Return the width and height in between; None if the image stays as it is."""
        chosen, which = stable_numbers(2, *identity, "downsample")
        side, shortest = self._sides[int(which * len(self._sides))], min(size)
        if chosen >= self._share or side >= shortest:
            return None
        width, height = (round(length * side / shortest) for length in size)
        return width, height
