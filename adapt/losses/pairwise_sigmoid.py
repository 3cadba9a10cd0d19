"""A balanced sigmoid loss of pairs: SuperStableRep's (its code, models/losses.py:214-289)."""

import torch
from torch import Tensor
from torch.nn import functional

from adapt.losses.gather import gathered, gathered_ids, mean_over_all, process_rank, total
from adapt.losses.rows import RowLoss, RowLosses, summed_rows, unit


def pairwise_sigmoid_loss(
    features: Tensor, groups: Tensor, *, temperature: float, count_self: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the mean of softplus(-s) over positives plus that of softplus(s) over negatives.

    s is a pair's cosine over the temperature. The positives of a row are the other rows of its
    group, in all processes; its negatives are the rows of other groups. A row without positives
    contributes nothing; without negatives, their term is 0.

    Args:
        features: This process's embeddings, float ``[b, d]``, of any length; computed in float32
            at least. All processes have as many.
        groups: int64 ``[b]``; they mean the same in all processes.
        temperature: Cosines are divided by it.
        count_self: Count the row itself when the mean over negatives is taken, as the authors do.

    Returns:
        The loss, a float scalar: its mean over processes is the mean over all rows that have
        positives, and 0 if none has. It has no second derivative. And how many rows of all
        processes have no positives, an int64 scalar.
    """
    normal = unit(features)
    first = process_rank() * len(features)
    row_loss = _balanced(groups, gathered_ids(groups), first, count_self=count_self)
    summed, paired = summed_rows(normal / temperature, gathered(normal), row_loss)
    return mean_over_all(summed, paired), total(len(features) - paired)


def _balanced(groups: Tensor, everyone: Tensor, first: int, *, count_self: bool) -> RowLoss:
    """Return the loss of a row; `first` is the place of the first row among those of everyone."""

    def row_loss(logits: Tensor, rows: slice) -> RowLosses:
        alike = groups[rows, None] == everyone
        positives = alike.sum(1, keepdim=True) - 1
        negatives = len(everyone) - positives - (0 if count_self else 1)
        counted = positives > 0
        # Of a positive, minus its share: the loss falls when the logit rises.
        toward, away = (
            counted.to(logits.dtype) / count.clamp(min=1) for count in (positives, negatives)
        )
        weights = torch.where(alike, -toward, away)
        weights.diagonal(first + rows.start).zero_()
        signed = logits.mul_(weights.sign())
        # Above 50, the softplus of a float64 is the number itself.
        costs = functional.softplus(signed, threshold=50).mul_(weights.abs())
        slopes = signed.sigmoid_().mul_(weights)
        return RowLosses(costs.sum(1), slopes, counted[:, 0])

    return row_loss
