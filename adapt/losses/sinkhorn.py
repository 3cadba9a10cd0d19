"""Sinkhorn-Knopp: soft assignments that use all prototypes alike, in logarithms."""

import torch
from torch import Tensor

from adapt.losses.gather import largest, total
from adapt.losses.rows import at_least_float32


@torch.no_grad()
def sinkhorn(logits: Tensor, *, temperature: float, iterations: int = 3) -> Tensor:
    """Return a teacher's assignments of samples to prototypes, without gradient.

    In turns, every prototype gets the same mass over the samples of all processes, and every
    sample gets mass 1; by default three times (Tian 2023). Logarithms stay finite where the
    exponentials of logits over a small temperature do not. Here samples have mass 1 from the start,
    so a constant added to a sample's logits changes nothing; in the authors' code it does.

    Args:
        logits: float ``[m, prototypes]``; m may differ between processes, and be 0.
        temperature: Logits are divided by it.
        iterations: How often; 1 at least.

    Returns:
        Rows that sum to 1, ``[m, prototypes]``, in float32 at least.
    """
    logs = (at_least_float32(logits) / temperature).log_softmax(1)
    for _ in range(iterations):
        logs -= _log_sums(logs)
        logs -= logs.logsumexp(1, keepdim=True)
    return logs.exp_()


def _log_sums(logs: Tensor) -> Tensor:
    """Return the log-sum-exp of every column over the rows of all processes, ``[columns]``."""
    # A process without rows has no largest one.
    lowest = logs.new_full((1, logs.shape[1]), -torch.inf)
    highest = largest((logs if len(logs) else lowest).amax(0))
    return highest + total((logs - highest).exp_().sum(0)).log_()
