"""Crops of small images: equal to Pillow's, and the same in any batch."""

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms import Compose, RandomHorizontalFlip, RandomResizedCrop

from adapt.augment import Augment
from adapt.crops import NUMBERS, SmallCrops, planar
from adapt.order import stable_numbers


def crops(size: int = 32) -> SmallCrops:
    small = Augment.of(open_clip.image_transform(size, is_train=True)).small
    assert small is not None
    return small


def noise(width: int, height: int, seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(32, 32, 32), (48, 40, 32), (20, 23, 32), (64, 64, 24)]
)
def test_a_crop_is_pillows(width: int, height: int, size: int) -> None:
    crop, differences = crops(size), []
    for seed in range(100):
        image, numbers = noise(width, height, seed), stable_numbers(NUMBERS, seed)
        y, x, h, w = crop.box((height, width), numbers)
        expected = image.crop((x, y, x + w, y + h)).resize((size, size), Image.Resampling.BICUBIC)
        (pixels,) = crop.sample([planar(image)], [numbers])
        differences.append(np.abs(pixels.numpy().astype(int) - np.asarray(expected, int)))
    # Of 255 levels: its weights have 22 bits, ours 15, so few pixels round differently.
    assert np.mean(differences) < 0.02
    assert np.max(differences) <= 2


def test_a_crop_is_the_same_to_the_bit_in_any_batch() -> None:
    images = [planar(noise(20 + 4 * k % 30, 32, k)) for k in range(40)]
    numbers = [stable_numbers(NUMBERS, k) for k in range(40)]
    together = crops().sample(images, numbers)
    assert together.shape == (40, 32, 32, 3)
    assert together.dtype == torch.uint8
    for image, random, pixels in zip(images, numbers, together, strict=True):
        assert torch.equal(crops().sample([image], [random])[0], pixels)


@pytest.mark.parametrize("size", [(32, 32), (64, 24)])
def test_boxes_are_as_random_as_torchvisions(size: tuple[int, int]) -> None:
    """Each side of a box, and where it is: mean and deviation over 4,000 samples."""
    torch.manual_seed(0)
    theirs = RandomResizedCrop(32, scale=(0.9, 1.0))
    given = torch.zeros(3, *size), list(theirs.scale), list(theirs.ratio)
    expected = np.array([theirs.get_params(*given) for _ in range(4000)])
    ours = np.array([crops().box(size, stable_numbers(NUMBERS, k)) for k in range(4000)])
    assert np.abs(ours.mean(0) - expected.mean(0)).max() < 0.15
    assert np.abs(ours.std(0) - expected.std(0)).max() < 0.15


def test_numbers_are_uniform_and_stay() -> None:
    numbers = np.array([stable_numbers(NUMBERS, "a", k) for k in range(2000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(numbers.mean(0) - 0.5).max() < 0.03
    assert stable_numbers(2, 0, 1, "key") == pytest.approx([0.7652275047730654, 0.3465461996383965])


def test_any_other_transform_is_left_to_pillow() -> None:
    assert Augment.of(open_clip.image_transform(224, is_train=True)).small is None
    bilinear = RandomResizedCrop(32)
    bicubic = open_clip.image_transform(32, is_train=True).transforms[0]
    assert SmallCrops.of(Compose([bilinear])) is None
    assert SmallCrops.of(Compose([bicubic, RandomHorizontalFlip()])) is None
    assert SmallCrops.of(Compose([bicubic])) is not None
