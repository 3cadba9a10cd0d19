"""SupCon: images of a class attract each other (Khosla 2020, the mean outside the logarithm)."""

from adapt.objectives._contrastive import Contrastive, ContrastiveOptions, strong_views
from bench.plugins import Needs, objectives


@objectives.register("supcon")
class SupCon(Contrastive):
    """Of all other views of a batch, each finds those of its class, two of every image."""

    class Options(ContrastiveOptions, frozen=True, kw_only=True):
        """The crops, the projection head and the temperature."""

    @staticmethod
    def needs(options: Options) -> Needs:
        views = strong_views(2, options)
        return Needs(
            views=views, group="class", coupled=True, batch_norm=options.norm == "bn", head=False
        )
