"""Augmentation in two halves: uint8 images in the data workers, normalisation on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms import Compose, Normalize, RandomResizedCrop

from adapt.batches.order import stable_numbers, stable_seed
from adapt.views.crops import SmallCrops, random_square
from adapt.views.downsample import Downsample
from adapt.views.recipes import SIDE, pillow_steps, recipe_of
from adapt.views.small_recipes import SmallRecipe
from bench.core.errors import BenchError
from bench.core.specs import Crop
from bench.plugins.objective import View

_WHOLE = View()
"""The model's own training transform."""


@dataclass(frozen=True)
class Augment:
    """A training transform, cut where its uint8 ends; the halves together equal it to the bit.

    Attributes:
        crop: PIL image to an augmented PIL image in RGB; samples from torch's generator.
        mean: Subtracted from each channel, whose values are 0 to 1.
        std: Each channel is then divided by it.
        small: Does the same for small images a batch at a time; None if it cannot.
        name: The view's, on which its random numbers depend.
        downsample: What some images go through before the crop; None for nothing.
    """

    crop: Callable[[Image], Image]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    small: SmallCrops | None = None
    name: str = ""
    downsample: Downsample | None = None

    @classmethod
    def of(
        cls,
        transform: Compose,
        crop: Crop = "square",
        view: View = _WHOLE,
        patch: tuple[int, int] = (1, 1),
    ) -> "Augment":
        """Cut a transform that ends in ToTensor and Normalize, or open_clip's versions of them.

        Args:
            transform: The model's training transform.
            crop: Whether it is given random squares, or images as they are.
            view: How its images are to differ from the transform's.
            patch: Pixels that the height and the width of a smaller view are multiples of.

        Raises:
            BenchError: If it ends in anything else, or does not begin with the random resized crop
                that the view changes.
        """
        *steps, _, last = transform.transforms
        if not isinstance(last, Normalize):
            raise BenchError(
                f"the model's training transform ends in {type(last).__name__}, not Normalize"
            )
        small, after, downsample = SmallCrops.of(Compose(steps), crop), [], None
        if view != View(name=view.name):
            own, recipe = _own_crop(steps), recipe_of(view)
            steps[0], unit = _view_crop(own, view, patch), min(own.size) / SIDE
            after = pillow_steps(recipe, unit) if recipe else []
            downsample = Downsample(view.downsample, min(own.size)) if view.downsample else None
            if small is not None:
                # Which way an image takes must not depend on the view's size.
                small = small.of_view(steps[0], SmallRecipe(recipe, unit) if recipe else None)
        before = [random_square] if crop == "square" else []
        transforms = Compose(before + steps + after)
        return cls(transforms, tuple(last.mean), tuple(last.std), small, view.name, downsample)

    def sample_large(self, image: Image, identity: tuple[object, ...]) -> Tensor:
        """Return an augmented image, uint8 ``[h, w, 3]``, and leave torch's generator seeded.

        Args:
            image: The image, in RGB.
            identity: All that its random numbers depend on, but for the view.
        """
        of_view = self._of_view(identity)
        if self.downsample is not None:
            image = self.downsample.of_image(image, of_view)
        torch.default_generator.manual_seed(stable_seed(*of_view))
        return self.sample(image)

    def sample(self, image: Image) -> Tensor:
        """Return an image cropped and what follows: a quarter of the bytes of floats."""
        cropped = self.crop(image)
        pixels = torch.frombuffer(bytearray(cropped.tobytes()), dtype=torch.uint8)
        return pixels.view(cropped.height, cropped.width, 3)

    def small_inputs(
        self, images: Sequence[Tensor], identities: Sequence[tuple[object, ...]]
    ) -> list[tuple[Tensor, list[float]]]:
        """Return what `small` takes of each image: the image, and its random numbers.

        Args:
            images: uint8 ``[3, h, w]``, of any small sizes.
            identities: Of each image, all that its random numbers depend on, but for the view.
        """
        of_view = list(map(self._of_view, identities))
        taken = list(images)
        if self.downsample is not None:
            taken = list(map(self.downsample.of_small, images, of_view))
        count = 0 if self.small is None else self.small.numbers
        numbers = [stable_numbers(count, *each) for each in of_view]
        return list(zip(taken, numbers, strict=True))

    def _of_view(self, identity: tuple[object, ...]) -> tuple[object, ...]:
        """Return all that an image's random numbers depend on, the view's name included."""
        return (*identity, "view", self.name) if self.name else identity

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return images ``[b, h, w, 3]`` as the model takes them, float32 ``[b, 3, h, w]``."""
        scaled = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        # torchvision's function does the same, but looks at the values, for which it would wait for
        # the device in every step.
        return scaled.sub_(_channels(self.mean, pixels.device)).div_(
            _channels(self.std, pixels.device)
        )


def sample_small(
    augments: Sequence[Augment],
    images: Sequence[Tensor],
    identities: Sequence[tuple[object, ...]],
) -> tuple[Tensor, ...]:
    """Return views of small images by `Augment.small`, each uint8 ``[b, h, w, 3]``.

    Views that differ in nothing but their numbers, such as local crops, are made together: in small
    batches most of the cost is that of calls.

    Args:
        augments: How to augment an image, view by view.
        images: uint8 ``[3, h, w]``, of any small sizes.
        identities: Of each image, all that its random numbers depend on, but for the view.

    Raises:
        ValueError: If a view cannot be made of small images so.
    """
    smalls = [augment.small for augment in augments if augment.small is not None]
    if len(smalls) < len(augments):
        raise ValueError("small images are augmented one by one")
    views: dict[int, Tensor] = {}
    for how in {small.how for small in smalls}:
        places = [place for place, small in enumerate(smalls) if small.how == how]
        inputs = [augments[place].small_inputs(images, identities) for place in places]
        crops = smalls[places[0]].sample(*zip(*chain.from_iterable(inputs), strict=True))
        views |= zip(places, crops.chunk(len(places)), strict=True)
    return tuple(views[place] for place in range(len(augments)))


def _own_crop(steps: list[Any]) -> RandomResizedCrop:
    if isinstance(steps[0], RandomResizedCrop):
        return steps[0]
    raise BenchError(
        f"the model's training transform begins with {type(steps[0]).__name__}, not "
        "RandomResizedCrop"
    )


def _view_crop(own: RandomResizedCrop, view: View, patch: tuple[int, int]) -> RandomResizedCrop:
    """Return the random resized crop of a view, from the model's."""
    size = own.size
    if view.size != 1:
        size = [
            max(round(length * view.size / step), 1) * step
            for length, step in zip(own.size, patch, strict=True)
        ]
    return RandomResizedCrop(
        size,
        scale=view.area or own.scale,
        ratio=own.ratio,
        interpolation=own.interpolation,
        antialias=own.antialias,
    )


@lru_cache(maxsize=8)
def _channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(3, 1, 1)
