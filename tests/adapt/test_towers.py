"""Image towers that open_clip builds from timm: loaded, adapted, saved, loaded.

ViTamin and Swin, whose smallest ones have 20 million weights, are among the slow tests.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapt.models import Classifier, Clip, load_model
from adapt.views.augment import Augment
from bench.core.errors import RequestError
from eval.features.penultimate import penultimate
from tests.support.tiny_clip import COLOURS, SIGLIP, colour_task, square, write_tiny_clip

TOWERS: dict[str, dict[str, Any]] = {
    "SigLIP": SIGLIP,
    "PE-Core": {"timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": None},
    "EVA02": {"timm_model_name": "eva02_tiny_patch14_224", "timm_pool": "token", "timm_proj": None},
    "MobileCLIP-B": {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": None},
    "MobileCLIP-S": {"timm_model_name": "fastvit_t8", "timm_pool": "avg", "timm_proj": None},
    "ConvNeXt": {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear"},
    "ConvNeXt-d": {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "mlp"},
    "relative positions": {
        "timm_model_name": "test_vit_relpos", "timm_pool": "", "timm_proj": "linear",
    },
}  # fmt: skip
SIZES = {"eva02_tiny_patch14_224": 224, "fastvit_t8": 64}
LARGE = {
    "ViTamin": {"timm_model_name": "vitamin_small_224", "timm_pool": "", "timm_proj": "linear"},
    "Swin": {
        "timm_model_name": "swin_tiny_patch4_window7_224", "timm_pool": "", "timm_proj": "linear",
    },
}  # fmt: skip
SIZES |= {tower["timm_model_name"]: 224 for tower in LARGE.values()}
TASK = colour_task()


@pytest.fixture(
    params=[*TOWERS, *(pytest.param(name, marks=pytest.mark.slow(minutes=0.2)) for name in LARGE)]
)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Clip:
    tower = {"embed_dim": 32, **(TOWERS | LARGE)[request.param]}
    tower["image_size"] = SIZES.get(tower["timm_model_name"], 160)
    return load_model(write_tiny_clip(tmp_path / "clip", timm=tower, logit_bias=-10.0))


def images(clip: Clip) -> torch.Tensor:
    pictures = [square(label, label) for label in range(len(COLOURS))]
    return torch.stack([clip.preprocess_val(picture) for picture in pictures])


def test_a_tower_starts_with_the_model_s_own_logits_and_is_restored(clip: Clip) -> None:
    classifier, pictures = Classifier.from_clip(clip, TASK), images(clip)
    with torch.no_grad():
        found = classifier(pictures)
        for row, name in enumerate(TASK.class_names):
            texts = clip.model.encode_text(clip.tokens(TASK.prompts(name)), normalize=True)
            text = torch.nn.functional.normalize(texts.mean(dim=0), dim=0)
            seen = clip.model.encode_image(pictures, normalize=True)
            logits = clip.model.logit_scale.exp() * seen @ text + clip.model.logit_bias
            torch.testing.assert_close(found[:, row], logits, rtol=1e-4, atol=1e-4)
        again = Classifier.from_clip(clip, TASK, "random")
        again.load_state_dict(classifier.state())
        assert torch.equal(again(pictures), found)
        assert penultimate(classifier.visual, pictures).shape[0] == len(pictures)


def test_a_tower_is_trained(clip: Clip) -> None:
    classifier = Classifier.from_clip(clip, TASK).train()
    augment = Augment.of(clip.preprocess_train)
    pixels = torch.stack([augment.sample(square(label, label)) for label in range(len(COLOURS))])
    loss = torch.nn.functional.cross_entropy(
        classifier(augment.normalise(pixels)), torch.arange(len(COLOURS))
    )
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in classifier.visual.parameters() if p.grad is not None]
    assert sum(bool(gradient.abs().max() > 0) for gradient in gradients) > len(gradients) / 2


def test_a_model_comes_with_its_preprocessing_or_is_refused(
    tiny_clip: Path, tmp_path: Path
) -> None:
    content = json.loads((tiny_clip / "open_clip_config.json").read_bytes())
    for name in ("open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_clip / name).read_bytes())

    def said(preprocessing: dict[str, Any]) -> str:
        config = json.dumps({**content, "preprocess_cfg": preprocessing})
        (tmp_path / "open_clip_config.json").write_text(config)
        with pytest.raises(RequestError) as refused:
            load_model(tmp_path)
        return str(refused.value)

    assert "has no mean and std in preprocess_cfg" in said({})
    statistics = {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert "image_size 32 in vision_cfg and size 64" in said({**statistics, "size": 64})
    config = {**content, "preprocess_cfg": {**statistics, "size": [32, 32]}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert np.isfinite(images(load_model(tmp_path)).numpy()).all()
