"""Cross-entropy of rows of logits against the uniform distribution over their groups' keys."""

import torch
from torch import Tensor

from adapt.losses.rows import RowLoss, RowLosses


def group_cross_entropy(
    groups: Tensor, key_groups: Tensor, ids: tuple[Tensor, Tensor] | None = None
) -> RowLoss:
    """Return the loss of a row: minus the mean log-probability of its group's keys.

    A row without such a key does not count.

    Args:
        groups: Of the rows, int64 ``[b]``.
        key_groups: Of the keys, int64 ``[n]``.
        ids: What identifies rows and keys, int64 ``[b]`` and ``[n]``: a key with a row's own id is
            excluded. None: no key is.
    """

    def row_loss(logits: Tensor, rows: slice) -> RowLosses:
        positive = groups[rows, None] == key_groups
        own = None if ids is None else ids[0][rows, None] == ids[1]
        if own is not None:
            positive.masked_fill_(own, value=False)
        count = positive.sum(1, keepdim=True)
        counted = count > 0
        targets = positive.to(logits.dtype).div_(count.clamp(min=1))
        wanted = torch.einsum("ij,ij->i", logits, targets)
        if own is not None:
            logits.masked_fill_(own, -torch.inf)
        # A row may have no key at all; infinity minus infinity is not a number.
        highest = logits.amax(1, keepdim=True)
        highest.masked_fill_(highest.isneginf(), 0)
        # Of any key at all, the sum is 1 or more.
        sums = logits.sub_(highest).exp_().sum(1, keepdim=True).clamp_(min=1)
        losses = ((sums.log() + highest)[:, 0] - wanted) * counted[:, 0]
        slopes = logits.div_(sums).sub_(targets).mul_(counted)
        return RowLosses(losses, slopes, counted[:, 0])

    return row_loss
