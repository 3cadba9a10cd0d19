"""Which patches are masked, and how many a tower has."""

import numpy as np
import open_clip
import pytest
import timm
import torch

from adapt.image_encoder import TimmTower
from adapt.views.masks import PatchMasks, patch_grid, patch_size
from bench.core.errors import RequestError
from bench.plugins import Masks


@pytest.mark.parametrize(("share", "count"), [(0.5, 24), (0.3, 14), (1.0, 49), (0.0, 0)])
def test_a_masked_image_has_exactly_its_share_of_patches_masked(share: float, count: int) -> None:
    masks = PatchMasks(Masks(images=0.5, patches=share), (7, 7))
    counts = [int(masks.sample(0, 1, k, "mask").sum()) for k in range(400)]
    assert set(counts) == ({0, count} if count else {0})
    # Five standard deviations of a binomial.
    if count:
        assert abs(counts.count(count) - 200) < 50


def test_any_patch_is_masked_as_often_and_each_image_has_its_own() -> None:
    masks = PatchMasks(Masks(images=1.0), (4, 4))
    found = torch.stack([masks.sample(k) for k in range(2000)])
    assert abs(found.float().mean(0) - 0.5).max() < 5 * np.sqrt(0.25 / 2000)
    assert len({tuple(mask) for mask in found.tolist()}) > 1500
    assert torch.equal(masks.sample(1, "a"), masks.sample(1, "a"))


def test_a_grid_is_that_of_the_tower() -> None:
    vision = {"image_size": (64, 32), "patch_size": 16, "width": 64, "layers": 1}
    tower = open_clip.CLIP(32, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg()).visual
    assert patch_size(tower) == (16, 16)
    assert patch_grid(tower) == (4, 2)
    trunk = timm.create_model("test_vit", img_size=(64, 96), num_classes=0)
    assert patch_size(TimmTower(trunk)) == (16, 16)
    assert patch_grid(TimmTower(trunk)) == (4, 6)


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet"])
def test_a_tower_without_patches_is_refused(name: str) -> None:
    tower = TimmTower(timm.create_model(name, num_classes=0))
    assert patch_size(tower) is None
    with pytest.raises(RequestError, match=r"image tower \((ConvNeXt|ResNet)\) has none"):
        patch_grid(tower)
