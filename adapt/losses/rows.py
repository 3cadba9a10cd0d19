"""A loss of every row of a matrix of logits that is never held whole."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 128
"""Rows of logits that are held at a time; twice as many take no less time, and more memory."""


class RowLosses(NamedTuple):
    """The losses of some rows of logits.

    Attributes:
        losses: ``[rows]``; 0 where a row does not count.
        slopes: The derivatives of the losses by the logits, ``[rows, keys]``.
        counted: Whether a row has a loss, bool ``[rows]``.
    """

    losses: Tensor
    slopes: Tensor
    counted: Tensor


RowLoss = Callable[[Tensor, slice], RowLosses]
"""From logits ``[rows, keys]``, which it may overwrite, and their place to their losses."""


def unit(embeddings: Tensor) -> Tensor:
    """Return embeddings ``[b, d]`` of length 1, in float32; float64 stays."""
    return functional.normalize(at_least_float32(embeddings), dim=1)


def at_least_float32(values: Tensor) -> Tensor:
    """Return floats in float32; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def summed_rows(
    queries: Tensor, keys: Tensor, row_loss: RowLoss, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of all rows of ``queries @ keys.T``, and how many counted.

    Each chunk of rows is forgotten once its part of the gradient is added up, in the forward pass
    already. So the matrix is computed once, and a few chunks of it are in memory.

    Args:
        queries: float ``[b, d]``.
        keys: float ``[n, d]``.
        row_loss: What the losses of some rows are.
        chunk: Rows at a time; the result depends on it by rounding only.

    Returns:
        A float scalar with a first derivative, and an int64 scalar.
    """
    result: tuple[Tensor, Tensor] = _SummedRows.apply(queries, keys, row_loss, chunk)
    return result


class _SummedRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 (torch's type lacks what is used)
        queries: Tensor,
        keys: Tensor,
        row_loss: RowLoss,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        by_query = torch.zeros_like(queries) if ctx.needs_input_grad[0] else None
        by_key = torch.zeros_like(keys) if ctx.needs_input_grad[1] else None
        summed = queries.new_zeros(())
        counted = torch.zeros((), dtype=torch.int64, device=queries.device)
        # Autocast would compute these products in half precision.
        with torch.autocast(queries.device.type, enabled=False):
            for place, some in enumerate(torch.split(queries, chunk)):
                rows = slice(place * chunk, place * chunk + len(some))
                part = row_loss(some @ keys.T, rows)
                summed += part.losses.sum()
                counted += part.counted.sum()
                if by_query is not None:
                    by_query[rows] = part.slopes @ keys
                if by_key is not None:
                    by_key.addmm_(part.slopes.T, some)
        ctx.save_for_backward(by_query, by_key)
        ctx.mark_non_differentiable(counted)
        return summed, counted

    @staticmethod
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        # `once_differentiable` says so only where the slope requires a gradient, too.
        if torch.is_grad_enabled():
            raise RuntimeError("this loss has no second derivative: create_graph=True is too much")
        by_query, by_key = (None if saved is None else saved * slope for saved in ctx.saved_tensors)
        return by_query, by_key, None, None
