"""Drop path, or stochastic depth (Huang 2016): in training, an image skips some residual branches.

The rate of a branch rises along a line from 0 in the first block to the given one in the last, as
timm has it. A branch that stays is scaled up by as much as others are missing, so that sums keep
their expectation. Parameters keep their names.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.drop import DropPath, drop_path
from torch import Tensor, nn

from bench.core.errors import RequestError

_NAMES = ("drop_path", "drop_path1", "drop_path2", "drop_path3")
"""What timm calls the places of drop path in its blocks."""


def set_drop_path(visual: Any, rate: float) -> None:  # noqa: ANN401 (open_clip has no types)
    """Have a tower drop paths in training, in place of what its configuration says of it.

    Args:
        visual: The tower: open_clip's vision transformer, or a network of timm.
        rate: The rate of the last block.

    Raises:
        RequestError: If it has no residual blocks to do that in.
    """
    blocks = residual_blocks(visual)
    for block, its_rate in zip(blocks, torch.linspace(0, rate, len(blocks)).tolist(), strict=True):
        if hasattr(visual, "trunk"):
            for name in _places(block):
                setattr(block, name, DropPath(its_rate).train(block.training))
        else:
            images = 0 if visual.transformer.batch_first else 1
            for branch in (block.ls_1, block.ls_2):
                branch.register_forward_hook(_Dropping(its_rate, images))


def residual_blocks(visual: Any) -> Sequence[Any]:  # noqa: ANN401
    """Return the blocks of a tower that can drop paths, the first one first.

    Raises:
        RequestError: If it has none.
    """
    network = getattr(visual, "trunk", visual)
    if network is visual:
        blocks = list(getattr(getattr(visual, "transformer", None), "resblocks", ()))
    else:
        blocks = [module for module in network.modules() if _places(module)]
    if not blocks:
        raise RequestError(
            f"train.drop_path: the model's image tower ({type(network).__name__}) has no residual "
            "blocks that drop paths",
            "leave it out, or take a model with a vision transformer, such as ViT-B-32",
        )
    return blocks


def _places(block: nn.Module) -> list[str]:
    return [name for name in _NAMES if isinstance(getattr(block, name, 0), nn.Identity | DropPath)]


class _Dropping:
    """Drops a branch of some images; called with what the last module of the branch returns.

    Args:
        rate: The share of images.
        images: The dimension that images lie along.
    """

    def __init__(self, rate: float, images: int) -> None:
        self._rate = rate
        self._images = images

    def __call__(self, module: nn.Module, _: object, branch: Tensor) -> Tensor:
        first = branch.transpose(0, self._images)
        kept: Tensor = drop_path(first, self._rate, module.training)
        return kept.transpose(0, self._images)
