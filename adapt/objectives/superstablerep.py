"""SuperStableRep: StableRep's images under a loss that weighs positives and negatives alike.

Its authors call that loss NT-Xent; their code has a sigmoid of pairs (models/losses.py:214-289).
``loss=nt-xent`` is what they call it, and StableRep's own.
"""

from typing import Annotated, Literal

import msgspec
from torch import Tensor

from adapt.losses.pairwise_sigmoid import pairwise_sigmoid_loss
from adapt.objectives._contrastive import Anchors, Contrastive, ContrastiveOptions, strong_views
from bench.core.errors import RequestError
from bench.plugins import Needs, Start, objectives


@objectives.register("superstablerep")
class SuperStableRep(Contrastive):
    """Images of a caption attract each other, in pairs or by the softmax over the batch."""

    class Options(ContrastiveOptions, frozen=True, kw_only=True):
        """The loss, and what is compared."""

        loss: Literal["nt-xent", "sigmoid"] = "sigmoid"
        """`sigmoid` is that of their code; `nt-xent` that of `stablerep`."""
        count_self: bool = False
        """With `sigmoid`, count an image itself among its negatives, as their code does."""
        per_group: Annotated[int, msgspec.Meta(ge=2)] = 6
        """Images of a caption in a batch; theirs is six views of one image."""

    @staticmethod
    def needs(options: Options) -> Needs:
        if options.count_self and options.loss != "sigmoid":
            raise RequestError(
                f"objective.count_self=true has no meaning with objective.loss={options.loss}",
                "leave out one of them",
            )
        return Needs(
            views=strong_views(1, options),
            group="caption",
            per_group=options.per_group,
            coupled=True,
            batch_norm=options.norm == "bn",
            head=False,
        )

    def __init__(self, options: Options, start: Start) -> None:
        super().__init__(options, start, places=options.per_group)
        self._pairs, self._count_self = options.loss == "sigmoid", options.count_self

    def compare(self, anchors: Anchors) -> tuple[Tensor, Tensor]:
        if not self._pairs:
            return super().compare(anchors)
        return pairwise_sigmoid_loss(
            anchors.features, anchors.groups, temperature=self._temperature,
            count_self=self._count_self,
        )  # fmt: skip
