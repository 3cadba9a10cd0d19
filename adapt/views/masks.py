"""The patches of a tower, and which of an image's are masked."""

from typing import Any

import open_clip.transformer
import torch
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import Tensor

from adapt.batches.order import stable_numbers
from bench.core.errors import RequestError
from bench.plugins.objective import Masks

Pair = tuple[int, int]
"""Something of the rows of an image, then of its columns."""


def patch_size(visual: Any) -> Pair | None:  # noqa: ANN401 (open_clip has no types)
    """Return the height and width of a tower's patches, in pixels; None if it has none.

    Towers that merge patches on the way, such as Swin, count as having none.
    """
    embed = patch_embed(visual)
    if embed is None:
        return None
    # In timm, a convolutional stem may come before the patches.
    return _pair(embed.patch_size if embed is visual else embed.feat_ratio(as_scalar=False))


def patch_grid(visual: Any) -> Pair:  # noqa: ANN401
    """Return how many rows and columns of patches a tower makes of an image of its size.

    Raises:
        RequestError: If it makes none.
    """
    embed = patch_embed(visual)
    if embed is None:
        name = type(getattr(visual, "trunk", visual)).__name__
        raise RequestError(
            f"patches are needed, and the model's image tower ({name}) has none",
            "take a model with a vision transformer, such as ViT-B-32",
        )
    return _pair(embed.grid_size)


_OF_PATCHES = (VisionTransformer, Eva, Beit, VisionTransformerRelPos)
"""The networks of timm that keep a token of every patch from the first block to the last."""


class PatchMasks:
    """Masks over patches, each a function of what an image is known by.

    Args:
        masks: How much is masked.
        grid: Rows and columns of patches.
    """

    def __init__(self, masks: Masks, grid: Pair) -> None:
        self._masks = masks
        self._patches = grid[0] * grid[1]

    def sample(self, *identity: object) -> Tensor:
        """Return which patches of an image are masked, bool ``[patches]``.

        Of a masked image it is exactly ``int(patches * share)`` of them; of another, none.

        Args:
            identity: All that it depends on.
        """
        masked, *order = stable_numbers(1 + self._patches, *identity)
        mask = torch.zeros(self._patches, dtype=torch.bool)
        if masked < self._masks.images:
            first = torch.tensor(order).argsort(stable=True)
            mask[first[: int(self._patches * self._masks.patches)]] = True
        return mask


def patch_embed(visual: Any) -> Any:  # noqa: ANN401
    """Return what knows the size and grid of a tower's patches; None if it has none.

    It is the tower itself, if it is a vision transformer of open_clip's own.
    """
    trunk = getattr(visual, "trunk", None)
    if trunk is None:
        return visual if isinstance(visual, open_clip.transformer.VisionTransformer) else None
    return trunk.patch_embed if isinstance(trunk, _OF_PATCHES) else None


def _pair(sides: Any) -> Pair:  # noqa: ANN401
    rows, columns = sides
    return int(rows), int(columns)
