"""Crops of small images: equal to Pillow's, and the same in any batch."""

from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms import Compose, RandomHorizontalFlip, RandomResizedCrop

from adapt.batches.order import stable_numbers
from adapt.views.augment import Augment
from adapt.views.crops import NUMBERS, SmallCrops, planar
from bench.core.specs import Crop


def crops(size: int = 32, crop: Crop = "square") -> SmallCrops:
    small = Augment.of(open_clip.image_transform(size, is_train=True), crop).small
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


@pytest.mark.parametrize(("size", "how"), [((32, 32), "square"), ((64, 24), "paper")])
def test_boxes_are_as_random_as_torchvisions(size: tuple[int, int], how: Crop) -> None:
    """Each side of a box, and where it is: mean and deviation over 4,000 samples."""
    torch.manual_seed(0)
    theirs = RandomResizedCrop(32, scale=(0.9, 1.0))
    given = torch.zeros(3, *size), list(theirs.scale), list(theirs.ratio)
    expected = np.array([theirs.get_params(*given) for _ in range(4000)])
    ours = np.array([crops(crop=how).box(size, stable_numbers(NUMBERS, k)) for k in range(4000)])
    assert np.abs(ours.mean(0) - expected.mean(0)).max() < 0.15
    assert np.abs(ours.std(0) - expected.std(0)).max() < 0.15


@pytest.mark.parametrize("size", [(24, 64), (64, 24)])
def test_a_long_small_image_is_cropped_as_its_squares(size: tuple[int, int]) -> None:
    numbers = [stable_numbers(NUMBERS, k) for k in range(3000)]
    boxes = np.array([crops().box(size, each) for each in numbers])
    square = np.array([crops().box((24, 24), each) for each in numbers])
    assert (boxes[:, 2:] == square[:, 2:]).all()
    long = int(np.argmax(size))
    assert (boxes[:, 1 - long] == square[:, 1 - long]).all()
    starts = boxes[:, long] - square[:, long]
    assert (starts.min(), starts.max(), len(set(starts))) == (0, 40, 41)
    assert abs(starts.mean() - 20) < 1


def marked(width: int, height: int) -> Image.Image:
    """Return an image whose red tells the column, its green the row, of a side of up to 512."""
    rows, columns = np.mgrid[:height, :width] // 2
    return Image.fromarray(np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8))


def cropped(image: Image.Image, how: Crop, count: int, size: int = 64) -> Any:
    """Return crops by Pillow: how many differ, and what each covers, in pixels of the image."""
    augment = Augment.of(open_clip.image_transform(224, is_train=True), how)
    torch.manual_seed(0)
    pixels = [augment.sample(image).numpy() for _ in range(count)]
    covered = [np.ptp(one[..., :2].astype(float), axis=(0, 1)) * 2 for one in pixels]
    return len({one.tobytes() for one in pixels}), np.array(covered)


def test_a_photograph_of_3_to_2_has_as_many_crops_as_a_square_and_no_more_distortion() -> None:
    count = 300
    squares, of_square = cropped(marked(256, 256), "square", count)
    ours, of_ours = cropped(marked(384, 256), "square", count)
    theirs, _ = cropped(marked(384, 256), "paper", count)
    # Geng 2024's augmentation has one crop of it: 256 of the rows, 341 of the columns.
    assert theirs == 1
    assert ours >= squares > 0.6 * count
    for covered in (of_square, of_ours):
        across, down = covered.T
        assert ((across / down > 0.88) & (across / down < 1.14)).all()
        share = across * down / 256**2
        assert ((share > 0.87) & (share < 1.02)).all()


@pytest.mark.parametrize("side", [32, 256])
def test_a_square_image_is_cropped_as_the_paper_crops_it_to_the_bit(side: int) -> None:
    image, samples = marked(side, side), []
    for how in ("square", "paper"):
        augment = Augment.of(open_clip.image_transform(min(side, 224), is_train=True), how)
        torch.manual_seed(4)
        samples.append([augment.sample(image), torch.rand(1)])
        if augment.small is not None:
            samples[-1] += augment.small.sample([planar(image)], [stable_numbers(NUMBERS, 1)])
    assert all(torch.equal(*pair) for pair in zip(*samples, strict=True))


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
