"""Projection heads: contrastive losses see what they make of embeddings, evaluators do not."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapt.layers.batch_norm import SyncedBatchNorm
from adapt.optimise import never_decayed

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


def output_norm(width: int, norm: Norm) -> nn.Module:
    """Return a norm without weights, which MoCo v3 and SynCLR's code put last on their heads."""
    if norm == "bn":
        return SyncedBatchNorm(width, affine=False)
    return nn.LayerNorm(width, elementwise_affine=False)


class TokenHead(nn.Module):
    """DINO's head for the tokens of patches: from tokens to logits of prototypes.

    A perceptron of three layers, its output of length 1, and a layer whose rows have a direction
    and a length, the gain, each. Gains start at 1 and are trained, as in SynCLR's code
    (models/head.py:77-106); they never decay, where its authors' do.

    Args:
        width: Length of a token.
        hidden: Width of the two hidden layers.
        out: Length of what is compared with prototypes.
        prototypes: How many there are.
    """

    def __init__(self, width: int, hidden: int, out: int, prototypes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(),
            nn.Linear(hidden, hidden), nn.GELU(),
            nn.Linear(hidden, out),
        )  # fmt: skip
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.directions = nn.Parameter(torch.randn(prototypes, out))
        self.gain = never_decayed(nn.Parameter(torch.ones(prototypes)))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of tokens ``[m, width]``, ``[m, prototypes]``."""
        unit = functional.normalize(self.layers(tokens), dim=1)
        prototypes = functional.normalize(self.directions, dim=1) * self.gain[:, None]
        return functional.linear(unit, prototypes)


def _after(width: int, norm: Norm) -> tuple[nn.Module, nn.Module]:
    if norm == "bn":
        return SyncedBatchNorm(width), nn.ReLU()
    return nn.LayerNorm(width), nn.GELU()
