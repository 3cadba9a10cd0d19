"""Recipes for small images, a batch at a time: flips, colours, blur and solarising.

Every step ends in whole values, as with 8-bit images. Colours are those of Pillow, but for a rare
rounding of a hue. Sums are exact (`adapt.views.whole_weights`), and the rest is done pixel by
pixel: an image comes out the same to the bit in any batch and process.
"""

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from adapt.views.recipes import SIGMAS, THRESHOLD, Recipe
from adapt.views.whole_weights import rounded, whole_weights

NUMBERS = 12
"""Random numbers, uniform from 0 to 1, that a recipe takes of each image."""

_ORDERS = torch.tensor(list(permutations(range(4))))


class SmallRecipe:
    """A recipe for batches of small images.

    Args:
        recipe: The recipe.
        unit: Pixels for one of an image of `adapt.views.recipes.SIDE`.

    Attributes:
        how: All that decides what is made of an image and its numbers.
    """

    def __init__(self, recipe: Recipe, unit: float) -> None:
        self.how = (recipe, unit)
        self._recipe = recipe
        self._unit = unit
        endings = [(ending.blur, ending.solarise) for ending in recipe.endings]
        self._endings = torch.tensor(endings, dtype=torch.float64)

    def apply(self, images: Tensor, numbers: Sequence[Sequence[float]]) -> Tensor:
        """Return augmented images.

        Args:
            images: float32 ``[b, 3, h, w]``, whole values of 0 to 255.
            numbers: `NUMBERS` random numbers from 0 to 1 for each image.

        Returns:
            The same of augmented images.
        """
        recipe, images = self._recipe, images.clone()
        flip, jittered, order, *changes, grey, which, blur, sigma, solarise = torch.tensor(
            numbers, dtype=torch.float64
        ).unbind(1)
        _change(images, flip < recipe.flip, _flipped)
        self._jitter(images, jittered < recipe.jittered, order, changes)
        _change(images, grey < recipe.grey, _greyed)
        blurs, solarises = self._endings[(which * len(self._endings)).long()].unbind(1)
        low, high = SIGMAS
        _change(images, blur < blurs, _blurred, (low + (high - low) * sigma) * self._unit)
        _change(images, solarise < solarises, _solarised)
        return images

    def _jitter(
        self, images: Tensor, jittered: Tensor, order: Tensor, numbers: list[Tensor]
    ) -> None:
        """Change brightness, contrast, saturation and hue, in an order of each image's own."""
        orders = _ORDERS[(order * len(_ORDERS)).long()]
        spreads = torch.tensor(self._recipe.jitter, dtype=torch.float64)
        changes = spreads * (2 * torch.stack(numbers, dim=1) - 1)
        for places in orders.unbind(1):
            for step, jitter in enumerate((_brightness, _contrast, _saturation, _hue)):
                _change(images, jittered & (places == step), jitter, changes[:, step])


def _change(
    images: Tensor, chosen: Tensor, function: Callable[..., Tensor], *arguments: Tensor
) -> None:
    """Put what a function makes of some images in their place.

    Args:
        images: All images.
        chosen: Which to change, bool ``[b]``.
        function: Takes images, and arguments for each.
        arguments: Of all images.
    """
    places = chosen.nonzero()[:, 0]
    if len(places):
        changed = function(images[places], *(argument[places] for argument in arguments))
        images.index_copy_(0, places, changed)


def _flipped(images: Tensor) -> Tensor:
    return images.flip(-1)


def _grey(images: Tensor) -> Tensor:
    """Return Pillow's luma, ``[b, 1, h, w]``; the sums stay below 2**24."""
    red, green, blue = images.chunk(3, dim=1)
    sums: Tensor = red * 19595 + green * 38470 + blue * 7471 + 0x8000
    return sums.mul_(2.0**-16).floor_()


def _greyed(images: Tensor) -> Tensor:
    return _grey(images).expand_as(images)


def _blend(images: Tensor, others: Tensor, change: Tensor) -> Tensor:
    """Return what lies between others and images, or beyond: images for a change of 0."""
    factors = (1 + change).float().view(-1, 1, 1, 1)
    return (images - others).mul_(factors).add_(others).clamp_(0, 255).floor_()


def _brightness(images: Tensor, change: Tensor) -> Tensor:
    return _blend(images, torch.zeros(()), change)


def _contrast(images: Tensor, change: Tensor) -> Tensor:
    grey = _grey(images)
    count = grey[0].numel()
    total = grey.sum((1, 2, 3), keepdim=True).long()
    return _blend(images, ((2 * total + count) // (2 * count)).float(), change)


def _saturation(images: Tensor, change: Tensor) -> Tensor:
    return _blend(images, _grey(images), change)


def _hue(images: Tensor, change: Tensor) -> Tensor:
    """Turn colours by so many circles, by way of hue, saturation and value of 8 bits each."""
    value, least = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    spread = value - least
    red, green, blue = ((value - images) / spread.clamp(min=1)).chunk(3, dim=1)
    # A hue is that of the largest channel, the first of equal ones, and what the others differ by.
    is_red, is_green = (images[:, :2] == value).float().chunk(2, dim=1)
    is_green *= 1 - is_red
    is_blue = 1 - is_red - is_green
    start = (2 * is_green + 4 * is_blue).double()
    after = is_red * blue + is_green * red + is_blue * green
    before = is_red * green + is_green * blue + is_blue * red
    circles = start.add_(after).sub_(before).float().double().div_(6).add_(1)
    hue = circles.sub_(circles.floor()).float().double().mul_(255).floor_()
    saturation = (spread / value.clamp(min=1)).double().mul_(255).floor_().div_(255)
    turned = hue.add_((change * 255).trunc().view(-1, 1, 1, 1))
    turned -= 256 * (turned / 256).floor_()
    return _from_hue(turned.float(), saturation.float(), value)


def _from_hue(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return colours of hues of 0 to 255, saturations of 0 to 1 and values of 0 to 255."""
    # Each channel's distance from where it is largest, in sixths of the circle of hues.
    sixths = hue * (6 / 255) + torch.tensor([5.0, 3.0, 1.0]).view(3, 1, 1)
    sixths -= 6 * (sixths >= 6)
    missing = torch.minimum(sixths, 4 - sixths).clamp_(0, 1).mul_(saturation)
    return (1 - missing).mul_(value).add_(0.5).floor_()


def _solarised(images: Tensor) -> Tensor:
    return torch.where(images < THRESHOLD, images, 255 - images)


def _blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    """Return blurred images; what lies beyond an edge has no weight."""
    height, width = images.shape[2:]
    down, across = _kernels(height, sigmas), _kernels(width, sigmas)
    halfway = rounded(images @ across.mT)
    return rounded(down @ halfway)


def _kernels(size: int, sigmas: Tensor) -> Tensor:
    """Return Gaussian weights along an axis, ``[b, 1, size, size]``, times 2**15."""
    falloff = np.exp(-0.5 * (np.arange(size) / sigmas.numpy()[:, None]) ** 2)
    distances = np.abs(np.arange(size)[:, None] - np.arange(size))
    return whole_weights(falloff[:, distances])[:, None]
