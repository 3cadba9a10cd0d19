"""Penultimate features: what the tower's projection is applied to."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapt.models import Clip, load_clip
from bench.core.errors import RequestError
from eval.features.penultimate import penultimate
from tests.support.tiny_clip import SIGLIP, SIZE, square, write_tiny_clip

RESNET = {"timm_model_name": "test_resnet"}
POOL_IS_PROJECTION = {
    "timm_model_name": "test_convnext", "timm_pool": "rot_attn", "timm_proj": "", "embed_dim": 64,
}  # fmt: skip

torch.set_num_threads(1)


def project(visual: Any, features: Tensor) -> Tensor:
    """Apply what a tower applies to its penultimate features."""
    if hasattr(visual, "attnpool"):
        projected: Tensor = visual.attnpool.c_proj(features)
    elif hasattr(visual, "trunk"):
        projected = visual.head(visual.trunk.get_classifier()(features))
    else:
        projected = features @ visual.proj
    return projected


def tower(clip: Clip) -> tuple[Any, Tensor]:
    """Return a tower, and images as it takes them."""
    images = [clip.preprocess_val(square(label, seed=label)) for label in range(3)]
    return clip.model.visual, torch.stack(images)


TOWERS: dict[str, dict[str, Any]] = {
    "ViT": {},
    "ResNet": {"batch_norm": True},
    "timm": {"timm": RESNET},
    "timm, MLP": {"timm": RESNET | {"timm_proj": "mlp"}},
    "timm, own head": {"timm": RESNET | {"timm_proj": ""}},
    "timm, no projection": {"timm": SIGLIP},
}


@pytest.mark.parametrize("options", TOWERS.values(), ids=TOWERS)
def test_features_are_what_the_projection_is_applied_to(tmp_path: Path, options: Any) -> None:
    visual, images = tower(load_clip(write_tiny_clip(tmp_path, **options)))
    with torch.inference_mode():
        features = penultimate(visual, images)
        projected = project(visual, features)
        torch.testing.assert_close(projected, visual(images), rtol=1e-4, atol=1e-5)
    assert features.shape[1] > projected.shape[1] or options.get("timm") is SIGLIP


def test_a_tower_without_a_separate_projection_is_refused(tmp_path: Path) -> None:
    visual, images = tower(load_clip(write_tiny_clip(tmp_path, timm=POOL_IS_PROJECTION)))
    for unknown, pixels in ((visual, images), (nn.Flatten(), torch.zeros(1, 3, SIZE, SIZE))):
        with pytest.raises(RequestError, match="features=projection"):
            penultimate(unknown, pixels)
