"""Recipes: made of torchvision's parts, each as often as published, by both ways of making them."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import Compose, functional

from adapt.batches.order import stable_numbers
from adapt.views.crops import planar
from adapt.views.recipes import (
    BYOL,
    BYOL_LOCAL,
    SIGMAS,
    SIMCLR,
    Ending,
    Recipe,
    pillow_steps,
    recipe_of,
)
from adapt.views.small_recipes import NUMBERS, SmallRecipe
from bench.plugins import View

torch.set_num_threads(1)

Augmented = Callable[[Recipe, Tensor, float], Tensor]


def together(recipe: Recipe, images: Tensor, unit: float) -> Tensor:
    numbers = [stable_numbers(NUMBERS, k) for k in range(len(images))]
    return SmallRecipe(recipe, unit).apply(images, numbers)


def one_by_one(recipe: Recipe, images: Tensor, unit: float) -> Tensor:
    torch.manual_seed(0)
    steps = Compose(pillow_steps(recipe, unit))
    return torch.stack([planar(steps(image_of(one))) for one in images]).float()


@pytest.fixture(params=[together, one_by_one])
def augmented(request: pytest.FixtureRequest) -> Augmented:
    found: Augmented = request.param
    return found


def image_of(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).to(torch.uint8).numpy())


def noise(count: int, side: int = 16, low: int = 0) -> Tensor:
    """Return noise of few and of many colours, float32 ``[count, 3, side, side]``."""
    pixels = np.random.default_rng(0).integers(low, 256, (count, side, side, 3), np.uint8)
    pixels[::2] = pixels[::2] // 64 * 64
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


def by_torchvision(recipe: Recipe, image: Image.Image, numbers: list[float]) -> Image.Image:
    """Apply a recipe of one ending, without a blur, as torchvision's functions do."""
    flip, jittered, order, *changes, grey, _, _, _, solarise = numbers
    if flip < recipe.flip:
        image = functional.hflip(image)
    if jittered < recipe.jittered:
        pairs = zip(recipe.jitter, changes, strict=True)
        brightness, contrast, saturation, hue = (most * (2 * number - 1) for most, number in pairs)
        steps: list[Callable[[Image.Image], Image.Image]] = [
            lambda image: functional.adjust_brightness(image, 1 + brightness),
            lambda image: functional.adjust_contrast(image, 1 + contrast),
            lambda image: functional.adjust_saturation(image, 1 + saturation),
            lambda image: functional.adjust_hue(image, hue),
        ]
        for step in list(permutations(steps))[int(order * 24)]:
            image = step(image)
    if grey < recipe.grey:
        image = functional.to_grayscale(image, 3)
    if solarise < recipe.endings[0].solarise:
        image = ImageOps.solarize(image)
    return image


def test_small_images_come_out_as_torchvision_makes_them() -> None:
    recipe = Recipe(SIMCLR.jitter, (Ending(blur=0.0, solarise=0.3),))
    images = noise(150, side=15)
    numbers = [stable_numbers(NUMBERS, k) for k in range(len(images))]
    ours = SmallRecipe(recipe, 1.0).apply(images, numbers)
    theirs = torch.stack(
        [
            planar(by_torchvision(recipe, image_of(image), each))
            for image, each in zip(images, numbers, strict=True)
        ]
    )
    # All but a hue is the same to the bit.
    assert (ours != theirs).float().mean() < 1e-4
    assert (ours - theirs).abs().max() <= 2


@pytest.mark.parametrize("sigma", [0.3, 0.57, 1.0, 2.0])
def test_a_blur_of_small_images_is_gaussian(sigma: float) -> None:
    """Away from the edges, beyond which torchvision mirrors the image."""
    blur = Recipe(SIMCLR.jitter, (Ending(blur=1.0),), flip=0, jittered=0, grey=0)
    images = noise(40, side=40)
    numbers = [0.0] * NUMBERS  # Of these, a blur is the least.
    made = SmallRecipe(blur, sigma / SIGMAS[0]).apply(images, [numbers] * len(images))
    expected = functional.gaussian_blur(images, [39, 39], [sigma, sigma])
    assert (made - expected)[..., 8:-8, 8:-8].abs().max() <= 1.01


def test_flips_greys_and_jitters_are_as_frequent_as_published(augmented: Augmented) -> None:
    count = 1500
    image = noise(3)[1]
    made = augmented(SIMCLR, image.expand(count, -1, -1, -1), 1e-6)
    plain = [image, planar(functional.to_grayscale(image_of(image), 3)).float()]
    same = torch.stack([(made == one).flatten(1).all(1) for one in plain])
    turned = torch.stack([(made == one.flip(-1)).flatten(1).all(1) for one in plain])
    grey = (made == made[:, :1]).flatten(1).all(1)
    assert_share(grey, 0.2)
    assert_share(~(same | turned).any(0), 0.8)
    assert_share(turned.any(0), 0.2 * 0.5)
    assert_share(same.any(0), 0.2 * 0.5)
    assert_share(same[1] | turned[1], 0.2 * 0.2)


@pytest.mark.parametrize(
    ("recipe", "blurred", "solarised"),
    [(SIMCLR, 0.5, 0.0), (BYOL, 0.55, 0.1), (BYOL_LOCAL, 0.5, 0.0)],
)
def test_blurs_and_solarising_are_as_frequent_as_published(
    augmented: Augmented, recipe: Recipe, blurred: float, solarised: float
) -> None:
    image = noise(2, low=160)[1]
    endings = Recipe(recipe.jitter, recipe.endings, flip=0, jittered=0, grey=0)
    made = augmented(endings, image.expand(1500, -1, -1, -1), 10.0)
    flat = made.std((1, 2, 3)) < 0.8 * image.std()
    dark = made.mean((1, 2, 3)) < 128
    assert_share(flat, blurred)
    assert_share(dark, solarised)
    if solarised:
        # Only where the blur is rare.
        assert_share(flat & dark, 0.5 * 0.2 * 0.1)


def assert_share(happened: Tensor, probability: float) -> None:
    """Check a share against five standard deviations of a binomial."""
    spread = (probability * (1 - probability) / len(happened)) ** 0.5
    assert abs(happened.float().mean() - probability) <= 5 * spread


def test_views_have_the_recipes_of_their_papers() -> None:
    assert recipe_of(View(area=(0.5, 1.0))) is None
    assert recipe_of(View(recipe="simclr")) == SIMCLR
    assert recipe_of(View(recipe="byol")) == BYOL
    assert recipe_of(View(recipe="byol", size=0.43)) == BYOL_LOCAL
    assert SIMCLR.jitter == (0.4, 0.4, 0.4, 0.1)
    assert BYOL.jitter == (0.4, 0.4, 0.2, 0.1)
