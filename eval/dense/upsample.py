"""From a grid of logits to a class for every pixel, without all of them in memory."""

import torch
from torch import Tensor
from torch.nn import functional

_AT_ONCE = 2**24
"""Logits of pixels in memory at a time: 64 MiB."""


def classes_of(logits: Tensor, height: int, width: int) -> Tensor:
    """Return the class of the highest logit at each pixel, int64 ``[height, width]``.

    Logits between the centres of patches are bilinear, as `torch.nn.functional.interpolate` has
    them with ``align_corners=False``.

    Args:
        logits: float ``[classes, rows, columns]``.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
    """
    down = _weights(logits.shape[1], height).to(logits)
    across = _weights(logits.shape[2], width).to(logits)
    wide = logits @ across.T
    rows = max(1, _AT_ONCE // (len(logits) * width))
    strips = [
        torch.einsum("hr,krw->khw", some, wide).argmax(dim=0) for some in torch.split(down, rows)
    ]
    return torch.cat(strips)


def _weights(cells: int, pixels: int) -> Tensor:
    """Return what each cell of a line counts at each pixel, float32 ``[pixels, cells]``."""
    each = torch.eye(cells)[None]
    return functional.interpolate(each, size=pixels, mode="linear", align_corners=False)[0].T
