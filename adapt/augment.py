"""Augmentation in two halves: uint8 images in the data workers, normalisation on the device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms import Compose, Normalize

from adapt.crops import SmallCrops, random_square
from bench.core.errors import BenchError
from bench.core.specs import Crop


@dataclass(frozen=True)
class Augment:
    """A training transform, cut where its uint8 ends; the halves together equal it to the bit.

    Attributes:
        crop: PIL image to an augmented PIL image in RGB; samples from torch's generator.
        mean: Subtracted from each channel, whose values are 0 to 1.
        std: Each channel is then divided by it.
        small: Crops small images a batch at a time; None if the transform does more than that.
    """

    crop: Callable[[Image], Image]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    small: SmallCrops | None = None

    @classmethod
    def of(cls, transform: Compose, crop: Crop = "square") -> "Augment":
        """Cut a transform that ends in ToTensor and Normalize, or open_clip's versions of them.

        Args:
            transform: The model's training transform.
            crop: Whether it is given random squares, or images as they are.

        Raises:
            BenchError: If it ends in anything else.
        """
        *steps, _, last = transform.transforms
        if not isinstance(last, Normalize):
            raise BenchError(
                f"the model's training transform ends in {type(last).__name__}, not Normalize"
            )
        small = SmallCrops.of(Compose(steps), crop)
        first = [random_square] if crop == "square" else []
        return cls(Compose(first + steps), tuple(last.mean), tuple(last.std), small)

    def sample(self, image: Image) -> Tensor:
        """Return an augmented image, uint8 ``[h, w, 3]``: a quarter of the bytes of floats."""
        cropped = self.crop(image)
        pixels = torch.frombuffer(bytearray(cropped.tobytes()), dtype=torch.uint8)
        return pixels.view(cropped.height, cropped.width, 3)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return images ``[b, h, w, 3]`` as the model takes them, float32 ``[b, 3, h, w]``."""
        scaled = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        # torchvision's function does the same, but looks at the values, for which it would wait for
        # the device in every step.
        return scaled.sub_(_channels(self.mean, pixels.device)).div_(
            _channels(self.std, pixels.device)
        )


@lru_cache(maxsize=8)
def _channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(3, 1, 1)
