"""SimCLR: two views of an image attract each other (Chen 2020)."""

from adapt.objectives._contrastive import Contrastive, ContrastiveOptions, strong_views
from bench.plugins import Needs, objectives


@objectives.register("simclr")
class SimCLR(Contrastive):
    """The NT-Xent loss: of all other views of a batch, each finds the one of its own image."""

    class Options(ContrastiveOptions, frozen=True, kw_only=True):
        """The crops, the projection head and the temperature."""

    @staticmethod
    def needs(options: Options) -> Needs:
        return Needs(
            views=strong_views(2, options),
            coupled=True,
            batch_norm=options.norm == "bn",
            head=False,
        )
