"""The contrastive loss with several positives: StableRep's, and SupCon's mean outside the log."""

from torch import Tensor

from adapt.losses.cross_entropy import group_cross_entropy
from adapt.losses.gather import gathered, gathered_ids, mean_over_all, total
from adapt.losses.rows import CHUNK, summed_rows, unit


def multi_positive_loss(  # noqa: PLR0913 (keys have all that queries have)
    queries: Tensor,
    groups: Tensor,
    *,
    temperature: float,
    ids: Tensor,
    keys: Tensor | None = None,
    key_groups: Tensor | None = None,
    key_ids: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy between a query's positives and its distribution over the keys.

    The distribution is the softmax of cosines over the temperature, over the keys of all processes
    but those with the query's own id. Its aim is uniform over the positives, the keys of the same
    group among them (Tian 2023, equations 1 to 3). A query without positives contributes nothing.
    Two keys per group make it SimCLR's NT-Xent, classes as groups SupCon's L_out.

    Args:
        queries: This process's embeddings, float ``[b, d]``, of any length; computed in float32
            at least. All processes have as many.
        groups: int64 ``[b]``; they mean the same in all processes.
        temperature: Cosines are divided by it.
        ids: What identifies a view, in all processes, int64 ``[b]``.
        keys: This process's share of the keys, float ``[k, d]``; by default the queries. They get
            a gradient if they require one.
        key_groups: The keys' groups, int64 ``[k]``; by default those of the queries.
        key_ids: The keys' ids, int64 ``[k]``; by default those of the queries.
        chunk: Queries whose logits are held at a time; it changes the result by rounding only.

    Returns:
        The loss, a float scalar: its mean over processes is the mean over all queries that have
        positives, and 0 if none has. It has no second derivative. And how many queries of all
        processes have no positives, an int64 scalar.
    """
    normal = unit(queries)
    everything = gathered(normal if keys is None else unit(keys))
    row_loss = group_cross_entropy(
        groups,
        gathered_ids(groups if key_groups is None else key_groups),
        (ids, gathered_ids(ids if key_ids is None else key_ids)),
    )
    summed, paired = summed_rows(normal / temperature, everything, row_loss, chunk)
    return mean_over_all(summed, paired), total(len(queries) - paired)
