"""Batch norm whose statistics are those of all processes; torch's own refuses the CPU."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.losses.gather import gathered, process_count
from bench.core.errors import BenchError

T = TypeVar("T", bound=nn.Module)


class SyncedBatchNorm(_BatchNorm):
    """`torch.nn.BatchNorm1d` and `BatchNorm2d` over the batches of all processes together.

    In one process it is theirs to the bit. Processes may have shares of unequal sizes, but all must
    call it, as often and in the same order.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Return ``[b, c]`` or ``[b, c, h, w]``, normalised by channel."""
        if not self.training or process_count() == 1:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        others = [dim for dim in range(input.dim()) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(input.dim())]
        count = _summed(values.new_tensor(values.numel() // values.shape[1]))
        mean = _summed(values.sum(others)) / count
        centred = values - mean.view(shape)
        # Of the deviations: squares less the mean's square would cancel.
        variance = _summed(centred.square().sum(others)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (torch's name)
        if input.dim() not in (2, 4):
            raise ValueError(f"{input.dim()} dimensions instead of 2 or 4")

    def _follow(self, mean: Tensor, unbiased: Tensor) -> None:
        """Move the running statistics towards a batch's, as torch does."""
        seen = self.num_batches_tracked
        if self.running_mean is None or self.running_var is None or seen is None:
            return
        seen.add_(1)
        # Without momentum, they are means over all batches so far.
        share = 1 / int(seen) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def synchronised(module: T) -> T:
    """Replace the batch norms within a module by ones over all processes, in place; return it.

    Their parameters and buffers stay. It is for towers whose batch statistics are trained: frozen
    ones need no other process.

    Raises:
        BenchError: If the module has batch norms of another kind, which would stay as they are.
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, SyncedBatchNorm):
                setattr(parent, name, _synced(child))
    return module


def _synced(norm: _BatchNorm) -> SyncedBatchNorm:
    if type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d):
        raise BenchError(
            f"the model's {type(norm).__name__} cannot be synchronised over processes",
            "train it in one process, or take another model",
        )
    synced = SyncedBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    synced.weight, synced.bias = norm.weight, norm.bias
    synced.running_mean, synced.running_var = norm.running_mean, norm.running_var
    synced.num_batches_tracked = norm.num_batches_tracked
    return synced.train(norm.training)


def _summed(value: Tensor) -> Tensor:
    """Return the sum of all processes' values; gradients reach them all."""
    return gathered(value[None]).sum(0)
