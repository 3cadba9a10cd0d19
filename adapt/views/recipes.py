"""What follows a view's crop: flips, colours, blur and solarising, by torchvision and Pillow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL.Image import Image
from PIL.ImageFilter import GaussianBlur
from torchvision.transforms import (
    ColorJitter,
    Compose,
    RandomApply,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomSolarize,
)

from bench.plugins.objective import View

SIDE = 224
"""Pixels of a side of the images that the published blurs are for."""

SIGMAS = (0.1, 2.0)
"""The least and the largest standard deviation of a blur, in pixels of an image of `SIDE`. They
shrink with the model's side; local crops are blurred by as many pixels as global ones, as SynCLR's
are."""

THRESHOLD = 128
"""Solarising inverts values from here on, of 0 to 255."""

Step = Callable[[Image], Image]


@dataclass(frozen=True)
class Ending:
    """The last steps of a recipe.

    Attributes:
        blur: The probability of a Gaussian blur.
        solarise: The probability of solarising.
    """

    blur: float
    solarise: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """The steps after a crop, in their order.

    Attributes:
        jitter: How far brightness, contrast, saturation and hue go, as `ColorJitter` takes them.
        endings: One of these comes last, each as often as any other.
        flip: The probability of a flip from left to right.
        jittered: The probability that colours change.
        grey: The probability that they are lost.
    """

    jitter: tuple[float, float, float, float]
    endings: tuple[Ending, ...]
    flip: float = 0.5
    jittered: float = 0.8
    grey: float = 0.2


SIMCLR = Recipe((0.4, 0.4, 0.4, 0.1), (Ending(blur=0.5),))
"""StableRep's strong augmentation (its code, main_stablerep.py:176-202)."""

BYOL = Recipe((0.4, 0.4, 0.2, 0.1), (Ending(blur=1.0), Ending(blur=0.1, solarise=0.2)))
"""SynCLR's of global crops (its code, dataset/augmentations.py:117-147)."""

BYOL_LOCAL = Recipe(BYOL.jitter, (Ending(blur=0.5),))
"""SynCLR's of local crops (the same file)."""


def recipe_of(view: View) -> Recipe | None:
    """Return what follows the crop of a view; None for nothing."""
    if view.recipe == "crop":
        return None
    if view.recipe == "simclr":
        return SIMCLR
    return BYOL if view.size == 1 else BYOL_LOCAL


def pillow_steps(recipe: Recipe, unit: float) -> list[Step]:
    """Return the steps of a recipe on RGB images; they sample from torch's generator.

    Args:
        recipe: The recipe.
        unit: Pixels for one of an image of `SIDE`.
    """
    blur = _Blur(unit)
    return [
        RandomHorizontalFlip(recipe.flip),
        RandomApply([ColorJitter(*recipe.jitter)], recipe.jittered),
        RandomGrayscale(recipe.grey),
        _OneOf(
            [
                Compose(
                    [
                        RandomApply([blur], ending.blur),
                        RandomSolarize(THRESHOLD, ending.solarise),
                    ]
                )
                for ending in recipe.endings
            ]
        ),
    ]


class _OneOf:
    """Takes one of some steps; torchvision's `RandomChoice` samples from Python's generator."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    def __call__(self, image: Image) -> Image:
        return self._steps[int(torch.randint(len(self._steps), ()))](image)


class _Blur:
    """A Gaussian blur by Pillow; torchvision's would go through float tensors."""

    def __init__(self, unit: float) -> None:
        self._unit = unit

    def __call__(self, image: Image) -> Image:
        sigma = float(torch.empty(()).uniform_(*SIGMAS))
        return image.filter(GaussianBlur(sigma * self._unit))
