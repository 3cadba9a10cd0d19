"""Image towers seen by their patches: tokens, masks over patches, and images of other sizes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from timm.layers.format import Format
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from adapt.views.masks import Pair, patch_embed, patch_grid, patch_size
from bench.core.errors import RequestError
from bench.plugins.objective import Needs


class Patched(NamedTuple):
    """What a tower makes of images.

    Attributes:
        pooled: Its output, float ``[b, dim]``.
        tokens: A token of each patch as the last block leaves it, after the tower's final norm and
            without projection, float ``[b, rows, columns, width]``.
    """

    pooled: Tensor
    tokens: Tensor


class Patches:
    """A tower with patches; holds nothing of its own.

    Args:
        visual: A vision transformer of open_clip, or one of timm as open_clip or
            `adapt.image_encoder` hold it.

    Attributes:
        grid: Rows and columns of patches of an image of the tower's size.
        width: Length of a patch's token.

    Raises:
        RequestError: If it has no patches.
    """

    def __init__(self, visual: Any) -> None:  # noqa: ANN401 (open_clip has no types)
        self.grid = patch_grid(visual)
        self._patch = patch_size(visual) or (1, 1)
        self._visual = visual
        self._trunk: Any = getattr(visual, "trunk", None)
        self.width: int = (
            visual.conv1.out_channels if self._trunk is None else self._trunk.embed_dim
        )

    def check(self, needs: Needs) -> None:
        """Make sure that an objective can have its views and masks.

        Raises:
            RequestError: If not.
        """
        if needs.masks is not None:
            self.check_all_kept()
        if any(view.size != 1 for view in needs.views):
            self.check_other_sizes()

    def check_all_kept(self) -> None:
        """Make sure that a training sees every patch.

        Raises:
            RequestError: If the tower leaves some out then.
        """
        holder, name = (
            (self._visual, "patch_dropout") if self._trunk is None else (self._trunk, "patch_drop")
        )
        if not isinstance(getattr(holder, name, None), (nn.Identity, type(None))):
            raise RequestError(
                "the objective needs a token of every patch, and the model's image tower leaves "
                "out some in training",
                "set its patch dropout to 0 in the model's configuration, or take another model",
            )

    def check_other_sizes(self) -> None:
        """Make sure that the tower takes images of other sizes than its own.

        Raises:
            RequestError: If its positions cannot be interpolated.
        """
        trunk = self._trunk
        absolute = trunk is None or isinstance(trunk, (VisionTransformer, Eva))
        # Rotary positions are made for any grid, or were made once for the tower's own.
        if not absolute or getattr(getattr(trunk, "rope", None), "feat_shape", None) is not None:
            raise RequestError(
                f"the positions of the model's image tower ({type(trunk).__name__}) cannot be "
                "interpolated for images of another size than its own",
                "take a model with a plain vision transformer, such as ViT-B-32",
            )

    def check_size(self, side: int) -> None:
        """Make sure that the tower takes square images of a side, in pixels.

        Raises:
            RequestError: If it does not.
        """
        if (side, side) != self._native:
            self._grid_of(torch.empty(0, 3, side, side))
            self.check_other_sizes()

    def pooled(self, images: Tensor) -> Tensor:
        """Return the tower's output, ``[b, dim]``.

        Positions are interpolated for images of another size than the tower's, bicubically, as
        timm does.

        Args:
            images: Normalised images, float ``[b, 3, h, w]``.

        Raises:
            RequestError: If the sides are no multiples of the patches', or the tower takes no other
                size than its own.
        """
        if tuple(images.shape[-2:]) == self._native:
            pooled: Tensor = self._visual(images)
            return pooled
        grid = self._grid_of(images)
        self.check_other_sizes()
        with self._any_size(grid):
            resized: Tensor = functional_call(self._visual, self._positions(grid), (images,))
            return resized

    def with_tokens(
        self, images: Tensor, masks: Tensor | None = None, mask_token: Tensor | None = None
    ) -> Patched:
        """Return the tower's output, and the tokens of its patches, of one forward pass.

        Args:
            images: Normalised images, float ``[b, 3, h, w]``.
            masks: Which patches are masked, row by row, bool ``[b, patches]``; None for none.
            mask_token: What stands in the place of a masked patch's embedding, before positions
                are added, float ``[width]``.

        Raises:
            RequestError: As `pooled`, and if the tower leaves out patches.
        """
        rows, columns = self._grid_of(images, within=True)
        with self._watched(masks, mask_token) as seen:
            pooled = self.pooled(images)
        tokens = seen[0][:, self._before :]
        if tokens.shape[1] != rows * columns:
            self.check_all_kept()
        return Patched(pooled, self._norm(tokens).reshape(len(tokens), rows, columns, -1))

    @property
    def _native(self) -> Pair:
        """The tower's own height and width of images, in pixels."""
        sides = self._visual if self._trunk is None else patch_embed(self._visual)
        height, width = sides.image_size if self._trunk is None else sides.img_size
        return int(height), int(width)

    @property
    def _before(self) -> int:
        """How many tokens come before those of the patches."""
        return 1 if self._trunk is None else int(self._trunk.num_prefix_tokens)

    @property
    def _norm(self) -> Callable[[Tensor], Tensor]:
        """The norm that follows the last block; where pooling comes first, the one after it."""
        if self._trunk is not None:
            trunk = self._trunk
            return trunk.fc_norm if isinstance(trunk.norm, nn.Identity) else trunk.norm  # type: ignore[no-any-return]
        # CoCa's pooling norms the tokens itself.
        pool = self._visual.attn_pool
        return self._visual.ln_post if pool is None else pool.ln_k  # type: ignore[no-any-return]

    def _grid_of(self, images: Tensor, *, within: bool = False) -> Pair:
        """Return the rows and columns of patches of some images.

        Args:
            images: The images.
            within: Whether what is beyond the last whole patch may be left out, as it is in images
                of the tower's size.
        """
        (height, width), (tall, wide) = images.shape[-2:], self._patch
        if not within and (height % tall or width % wide):
            near = [max(round(height / tall), 1) * tall, max(round(width / wide), 1) * wide]
            raise RequestError(
                f"images of {height} x {width} pixels are not of whole patches of {tall} x {wide}",
                f"take multiples, such as {near[0]} x {near[1]}",
            )
        return height // tall, width // wide

    @contextmanager
    def _watched(self, masks: Tensor | None, mask_token: Tensor | None) -> Iterator[list[Tensor]]:
        """Mask patches in forward passes, and collect what comes out of the last block."""
        seen: list[Tensor] = []
        trunk = self._trunk
        last, embed = (
            (self._visual.transformer, self._visual.conv1)
            if trunk is None
            else (trunk.blocks[-1], trunk.patch_embed)
        )
        handles = [last.register_forward_hook(lambda module, given, found: seen.append(found))]
        if masks is not None and mask_token is not None:
            handles.append(
                embed.register_forward_hook(
                    lambda module, given, found: self._masked(found, masks, mask_token)
                )
            )
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def _masked(self, embedded: Tensor, masks: Tensor, mask_token: Tensor) -> Tensor:
        """Return embeddings of patches with the mask token in place of those that are masked."""
        token = mask_token.to(embedded.dtype)
        if self._trunk is None:
            return torch.where(
                masks.view(-1, 1, *embedded.shape[-2:]), token.view(-1, 1, 1), embedded
            )
        return torch.where(masks.view(*embedded.shape[:-1], 1), token, embedded)

    def _positions(self, grid: Pair) -> dict[str, Tensor]:
        """Return the tower's positions for another grid, by the name of their parameter."""
        trunk = self._trunk
        if trunk is None:
            own = self._visual.positional_embedding
            return {"positional_embedding": _resized(own, self.grid, grid, before=1)}
        if trunk.pos_embed is None:
            return {}
        before = 0 if trunk.no_embed_class else self._before
        return {"trunk.pos_embed": _resized(trunk.pos_embed[0], self.grid, grid, before)[None]}

    @contextmanager
    def _any_size(self, grid: Pair) -> Iterator[None]:
        """Let a tower of timm take images of another size for a while."""
        if self._trunk is None:
            yield
            return
        embed = self._trunk.patch_embed
        changes: list[tuple[Any, dict[str, Any]]] = [
            (self._trunk, {"dynamic_img_size": True}),
            (embed, {"strict_img_size": False, "flatten": False, "output_fmt": Format.NHWC}),
            # As the positions are for this grid already.
            (embed, {"grid_size": grid}),
        ]
        before = [(one, {name: getattr(one, name) for name in new}) for one, new in changes]
        try:
            _set(changes)
            yield
        finally:
            _set(before)


def pooled(visual: Any, images: Tensor) -> Tensor:  # noqa: ANN401
    """Return a tower's output ``[b, dim]``; if it has patches, for images of any multiple of them.

    Raises:
        RequestError: As `Patches.pooled`.
    """
    if patch_embed(visual) is not None:
        return Patches(visual).pooled(images)
    output: Tensor = visual(images)
    return output


def _set(values: list[tuple[Any, dict[str, Any]]]) -> None:
    for one, named in values:
        for name, value in named.items():
            setattr(one, name, value)


def _resized(positions: Tensor, old: Pair, new: Pair, before: int) -> Tensor:
    """Return positions for another grid, float ``[before + patches, width]``.

    Args:
        positions: Those of a grid, after those of other tokens, row by row.
        old: Its rows and columns.
        new: Those of the other one.
        before: How many other tokens come first.
    """
    first, patches = positions[:before], positions[before:]
    like = (positions.dtype, positions.device, torch.is_inference_mode_enabled())
    down, across = (_weights(*sides, *like) for sides in zip(old, new, strict=True))
    # Two products, as torch's own interpolation adds up gradients in any order on a GPU.
    with torch.autocast(positions.device.type, enabled=False):
        halfway = torch.einsum("ri,ijd->rjd", down, patches.view(*old, -1))
        resized = torch.einsum("cj,rjd->rcd", across, halfway)
    return torch.cat([first, resized.flatten(0, 1)])


@lru_cache(maxsize=64)
def _weights(
    size: int, new: int, dtype: torch.dtype, device: torch.device, inference: bool
) -> Tensor:
    """Return the weights of bicubic interpolation along one axis, ``[new, size]``.

    Args:
        size: The axis's length.
        new: That of the new one.
        dtype: Of the weights.
        device: Where they are needed.
        inference: Whether this is called in inference mode, whose tensors no training may have.
    """
    unit = torch.eye(size, dtype=torch.float64)[None, None]
    resized = functional.interpolate(unit, (new, size), mode="bicubic", antialias=True)
    return resized[0, 0].to(device, dtype)
