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
        positive = groups[rows, None].eq(key_groups)
        if ids is not None:
            own = ids[0][rows, None].eq(ids[1])
            logits.masked_fill_(own, -torch.inf)
            positive &= ~own
        count = positive.sum(1, keepdim=True)
        whole = logits.logsumexp(1, keepdim=True)
        # A row may have no key at all; infinity minus infinity is not a number.
        logs = logits.sub_(whole.masked_fill_(whole.isneginf(), 0))
        share = 1 / count.clamp(min=1).to(logits.dtype)
        losses = -logs.where(positive, 0).sum(1) * share[:, 0]
        slopes = logs.exp_().sub_(positive * share).mul_(count > 0)
        return RowLosses(losses, slopes, count[:, 0] > 0)

    return row_loss
