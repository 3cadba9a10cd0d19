"""Projection heads: contrastive losses see what they make of embeddings, evaluators do not."""

from typing import Literal

from torch import nn

from adapt.layers.batch_norm import SyncedBatchNorm

Norm = Literal["bn", "ln"]
"""Batch norm over all processes, or layer norm."""


def mlp_head(width: int, hidden: int, out: int, *, norm: Norm, layers: int = 3) -> nn.Sequential:
    """Return a multi-layer perceptron, ``[b, width]`` to ``[b, out]``.

    Hidden layers are normalised; the last is linear. StableRep's has three, 4,096 wide, with batch
    norm and ReLU, and ends in 256 (code, models/StableRep.py:37-45). SynCLR's code has layer norm
    and GELU in their place (models/head.py:141-172).

    Args:
        width: Length of an embedding.
        hidden: Width of the hidden layers.
        out: Length of what the loss sees.
        norm: How hidden layers are normalised. With batch norm the images of a batch see each
            other.
        layers: How many there are, the last included.
    """
    widths = [width] + [hidden] * (layers - 1)
    hidden_layers = [
        module
        for inner in widths[:-1]
        for module in (nn.Linear(inner, hidden), *_after(hidden, norm))
    ]
    return nn.Sequential(*hidden_layers, nn.Linear(widths[-1], out))


def _after(width: int, norm: Norm) -> tuple[nn.Module, nn.Module]:
    if norm == "bn":
        return SyncedBatchNorm(width), nn.ReLU()
    return nn.LayerNorm(width), nn.GELU()
