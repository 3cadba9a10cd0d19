"""Rows, sums and means over all processes; without a process group, those of this one.

What is here must be called by all processes, in the same order, with as many rows in each: that is
the caller's duty. `torch.distributed.nn`, which gathers with gradient too, is deprecated.
"""

import torch
from torch import Tensor, distributed
from torch.autograd.function import FunctionCtx, once_differentiable


def process_count() -> int:
    """Return how many processes share a batch; 1 without a process group."""
    return distributed.get_world_size() if _together() else 1


def process_rank() -> int:
    """Return this process's number among them; 0 without a process group."""
    return distributed.get_rank() if _together() else 0


def gathered(rows: Tensor) -> Tensor:
    """Return the rows of all processes, by rank; gradients go back to the process of a row.

    A process's gradient is the sum of what all processes' losses ask of its rows. So the mean that
    `torch.nn.parallel.DistributedDataParallel` takes of gradients is right if the mean of the
    processes' losses is the loss of the whole batch, as `mean_over_all` returns it.

    Args:
        rows: float ``[b, ...]``; all processes have as many, and all or none require a gradient.

    Returns:
        ``[processes * b, ...]``; the same tensor if there is one process.
    """
    if process_count() == 1:
        return rows
    result: Tensor = _Gathered.apply(rows)
    return result


def gathered_ids(ids: Tensor) -> Tensor:
    """Return whole numbers ``[b, ...]`` of all processes, ``[processes * b, ...]``, by rank."""
    return ids if process_count() == 1 else _collect(ids)


def total(value: Tensor) -> Tensor:
    """Return the sum of all processes' values, without gradient."""
    return _reduced(value, distributed.ReduceOp.SUM)


def largest(value: Tensor) -> Tensor:
    """Return, element by element, the largest of all processes' values, without gradient."""
    return _reduced(value, distributed.ReduceOp.MAX)


def mean_over_all(summed: Tensor, count: Tensor) -> Tensor:
    """Return this process's part of a mean: the mean of all parts is the mean over all processes.

    Args:
        summed: The sum of this process's losses, a float scalar.
        count: How many losses this process has, an int64 scalar. If none has any, the mean is 0.
    """
    return summed * process_count() / total(count).clamp(min=1)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        return _collect(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, slopes: Tensor) -> Tensor:
        parts = [part.contiguous() for part in slopes.chunk(process_count())]
        mine = torch.empty_like(parts[0])
        distributed.reduce_scatter(mine, parts)
        return mine


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _collect(rows: Tensor) -> Tensor:
    everyone = rows.new_empty(process_count(), *rows.shape)
    distributed.all_gather(list(everyone.unbind()), rows.contiguous())
    return everyone.flatten(0, 1)


def _reduced(value: Tensor, how: distributed.ReduceOp.RedOpType) -> Tensor:
    if process_count() == 1:
        return value.detach()
    everyone = value.detach().clone()
    distributed.all_reduce(everyone, how)
    return everyone
