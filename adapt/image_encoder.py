"""Image encoders without a text tower: models of timm, such as DINOv2 and DINOv3.

A folder is as timm writes it for the Hub: ``config.json`` with the architecture and how images are
preprocessed, and ``model.safetensors``.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn import functional

from bench.core.errors import BenchError

_SCALE = 1 / 0.07
"""Length of a random head's rows: CLIP's scale of logits at its beginning (Radford 2021, section
2.5). A model without texts has none of its own."""


class TimmTower(nn.Module):
    """A network of timm without its classifier; named as open_clip names its towers of timm.

    Args:
        trunk: Maps normalised images ``[b, 3, h, w]`` to pooled features ``[b, dim]``.
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential()

    def forward(self, images: Tensor) -> Tensor:
        """Return pooled features, float ``[b, dim]``."""
        pooled: Tensor = self.trunk(images)
        return pooled


class ImageEncoder(nn.Module):
    """An image tower with the interface of open_clip's models, as far as images go."""

    def __init__(self, visual: TimmTower) -> None:
        super().__init__()
        self.visual = visual
        self.logit_scale = nn.Parameter(torch.tensor(math.log(_SCALE)))

    def encode_image(self, images: Tensor, normalize: bool = False) -> Tensor:
        """Return embeddings, float ``[b, dim]``."""
        embeddings: Tensor = self.visual(images)
        return functional.normalize(embeddings, dim=-1) if normalize else embeddings


def load_image_encoder(folder: Path) -> tuple[ImageEncoder, int]:
    """Return the encoder in a folder and the length of its embeddings.

    Raises:
        BenchError: If it cannot be loaded.
    """
    try:
        trunk = _trunk(folder, pretrained=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f"the image encoder in {folder} does not load: {error}",
            "fetch it again, or give a folder as timm writes it",
        ) from error
    return ImageEncoder(TimmTower(trunk)), int(trunk.num_features)


def new_image_encoder(folder: Path) -> ImageEncoder:
    """Return an encoder of a folder's architecture with new weights, as timm initialises them."""
    return ImageEncoder(TimmTower(_trunk(folder, pretrained=False)))


def _trunk(folder: Path, *, pretrained: bool) -> Any:  # noqa: ANN401 (timm's models)
    return timm.create_model(f"local-dir:{folder}", pretrained=pretrained, num_classes=0)


def preprocessing(
    encoder: ImageEncoder,
) -> tuple[Callable[[Image], Tensor], Callable[[Image], Tensor]]:
    """Return how images are preprocessed for training and for evaluation.

    Evaluation's is the model's own. Training crops and flips nothing more than open_clip does, so
    that encoders differ in nothing else.
    """
    data: Any = timm.data
    config = data.resolve_model_data_config(encoder.visual.trunk)
    train = open_clip.image_transform(
        config["input_size"][-2:], is_train=True, mean=config["mean"], std=config["std"]
    )
    return train, data.create_transform(**config, is_training=False)
