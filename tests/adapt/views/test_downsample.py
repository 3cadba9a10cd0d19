"""Downsampled views: some images lose their detail, the same ones in any batch, and none else."""

import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor

from adapt.batches.order import SampledImage
from adapt.data import TrainingImages
from adapt.views.augment import Augment
from adapt.views.crops import planar
from adapt.views.downsample import Downsample
from bench.core.specs import RunSpec
from bench.planning.preset import resolve
from bench.plugins import View, needs_of
from bench.storage.image_set import ImageSet
from tests.support.noise_images import write_pictures

torch.set_num_threads(1)

COUNT = 60


def views(
    image_set: ImageSet, size: int, *shares: float, recipe: str = "crop", order: int = 1
) -> list[Tensor]:
    """Return the views of images for a model of some size, one for each share."""
    transform = open_clip.image_transform(size, is_train=True)
    found = []
    for share in shares:
        view = View(name="a", area=(0.3, 1.0), recipe=recipe, downsample=share)  # type: ignore[arg-type]
        images = TrainingImages(
            image_set.data, image_set.index(), [Augment.of(transform, view=view)], 3
        )
        samples = [SampledImage(1, row) for row in range(COUNT)]
        found.append(images[samples[::order]].views[0])
    return found


def detail(pixels: Tensor) -> Tensor:
    """Return how much neighbours differ, image by image."""
    across = (pixels[:, :, 1:].float() - pixels[:, :, :-1].float()).abs()
    return across.mean((1, 2, 3))


@pytest.mark.parametrize(("side", "size"), [(48, 32), (96, 80)], ids=["together", "one by one"])
def test_a_share_of_the_images_loses_detail_and_the_others_stay_to_the_bit(
    tmp_path: Path, side: int, size: int
) -> None:
    pictures = write_pictures(tmp_path / "data", COUNT, side, ".png")
    plain, some, every = views(pictures, size, 0.0, 0.4, 1.0)
    changed = torch.tensor([not torch.equal(*pair) for pair in zip(plain, some, strict=True)])
    # Binomial: 24 of 60, with a standard deviation of 3.8.
    assert 12 <= int(changed.sum()) <= 36
    assert torch.equal(some[changed], every[changed])
    assert (detail(every) < detail(plain)).all()
    (backwards,) = views(pictures, size, 0.4, order=-1)
    assert torch.equal(backwards.flip(0), some)
    # Its crops and colours are those that it has anyway: what is left looks alike.
    strong, coarse = views(pictures, size, 0.0, 1.0, recipe="simclr")
    means = [each.float().mean((1, 2)) for each in (strong, coarse)]
    assert float((means[0] - means[1]).abs().mean()) < 8


def test_an_image_is_brought_down_as_pillow_does_by_both_ways() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    image = Image.fromarray(pixels)
    downsample = Downsample(1.0, 32)
    # 64 and 128 of 224 pixels are 9 and 18 of 32; the other side is half as long again.
    expected = [
        np.asarray(image.resize(size, Image.Resampling.BICUBIC).resize((60, 40), 3), int)
        for size in ((14, 9), (27, 18))
    ]
    taken = []
    for key in range(40):
        large = np.asarray(downsample.of_image(image, (key,)), int)
        small = downsample.of_small(planar(image), (key,)).permute(1, 2, 0).numpy().astype(int)
        (which,) = (at for at, one in enumerate(expected) if np.array_equal(one, large))
        assert np.abs(small - large).max() <= 2
        assert np.abs(small - large).mean() < 0.05
        taken.append(which)
    assert 10 <= sum(taken) <= 30


@pytest.mark.parametrize("side", [9, 8])
def test_an_image_without_more_pixels_stays_as_it_is(side: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, 50, 3), np.uint8))
    for key in range(20):
        assert Downsample(1.0, 32).of_image(image, (key,)) is image


def test_shares_are_met() -> None:
    image = Image.new("RGB", (256, 256))
    downsample = Downsample(0.05, 224)
    chosen = sum(downsample.of_image(image, (0, key)) is not image for key in range(4000))
    assert abs(chosen - 200) < 4 * math.sqrt(4000 * 0.05 * 0.95)


@pytest.mark.parametrize("objective", ["simclr", "stablerep", "superstablerep"])
def test_runs_from_before_it_stay_the_same_runs(objective: str) -> None:
    def spec(*more: str) -> RunSpec:
        settings = [f"objective={objective}", "evaluators.zero-shot=null", *more]
        return resolve("mini", task="aircraft", source="retrieved", n=64, settings=settings)

    plain, off, coarse = (
        spec(),
        spec("objective.downsample=0"),
        spec("objective.downsample=0.05"),
    )
    assert "downsample" not in plain.objective_options
    assert plain.run_id == off.run_id != coarse.run_id
    assert {view.downsample for view in needs_of(coarse).views} == {0.05}
    assert {view.downsample for view in needs_of(plain).views} == {0.0}
