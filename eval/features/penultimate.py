"""Features before the projection into the joint space: what SynCLR's probe takes."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from bench.core.errors import RequestError


def penultimate(visual: Any, images: Tensor) -> Tensor:  # noqa: ANN401 (open_clip's towers)
    """Return pooled features, float ``[b, width]``, without the tower's projection.

    Those of a timm tower without a projection, such as SigLIP's, are the image embeddings.

    Args:
        visual: An image tower of open_clip: a ViT, a ModifiedResNet, or one of timm's.
        images: Normalised images, float ``[b, 3, h, w]``.

    Raises:
        RequestError: If the tower's projection is not known, or is part of its pooling.
    """
    if hasattr(visual, "trunk") and not hasattr(visual.head, "pool"):
        # The trunk's own head is a projection, too, if open_clip's `timm_proj` is empty.
        features = visual.trunk.forward_features(images)
        pooled: Tensor = visual.trunk.forward_head(features, pre_logits=True)
        return pooled
    if isinstance(getattr(visual, "proj", None), Tensor):
        identity = {"proj": _eye(visual.proj, visual.proj.shape[0])}
    elif hasattr(getattr(visual, "attnpool", None), "c_proj"):
        last = visual.attnpool.c_proj
        identity = {
            "attnpool.c_proj.weight": _eye(last.weight, last.in_features),
            "attnpool.c_proj.bias": last.bias.new_zeros(last.in_features),
        }
    else:
        raise RequestError(
            f"the image tower {type(visual).__name__} has no projection that can be left out",
            "use features=projection",
        )
    # Replaced for this call only: others may hold the tower.
    unprojected: Tensor = functional_call(visual, identity, (images,))
    return unprojected


def _eye(like: Tensor, size: int) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
