"""Which images of a batch each process (rank) takes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from adapt.batches.order import SampledImage


@dataclass(frozen=True)
class RankBatch:
    """The share of one process (rank) of a batch.

    Attributes:
        samples: Its images.
        total: Images in the batch, over all processes.
        idle: Whether none is left for this process; the one image then has no weight.
    """

    samples: list[SampledImage]
    total: int
    idle: bool = False

    def weight(self, count: int) -> float:
        """Return the share of the batch that this many of the images make up."""
        return 0.0 if self.idle else count / self.total


def rank_batches(
    batches: Iterable[list[SampledImage]], rank: int, ranks: int, per_group: int = 1
) -> Iterator[RankBatch]:
    """Yield the share of each batch that process ``rank`` of ``ranks`` takes.

    Processes take turns: one image each, or ``per_group`` images of one group, which stay together.
    """
    for batch in batches:
        starts = range(0, len(batch), per_group)[rank::ranks]
        share = [sample for start in starts for sample in batch[start : start + per_group]]
        # Every process must join each step's all-reduce, if only with a zero.
        yield RankBatch(share or batch[:per_group], len(batch), idle=not share)
