"""StableRep: images generated from a caption attract each other (StableRep).

With one image of a caption in a batch and two views it is SimCLR; with language too, SLIP; without
the images' own loss, CLIP on strong crops.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from adapt.losses.clip import clip_loss
from adapt.models import Classifier
from adapt.objectives._contrastive import Contrastive, ContrastiveOptions, anchors, strong_views
from adapt.text_tower import TextTower
from bench.core.config import NotNegative, Positive
from bench.core.errors import RequestError
from bench.plugins import Batch, Needs, Start, objectives


@objectives.register("stablerep")
class StableRep(Contrastive):
    """The loss with several positives, and with ``language`` that of CLIP beside it."""

    class Options(ContrastiveOptions, frozen=True, kw_only=True):
        """What is compared, and the weights of both losses."""

        per_group: Positive = 6
        """Images of a caption in a batch; the authors have 6 of 10 (README)."""
        views: Positive = 1
        """Views of every image."""
        images: NotNegative = 1.0
        """The weight of the images' loss."""
        language: NotNegative = 0.0
        """The weight of the loss between images and captions, which makes it StableRep++."""

    @staticmethod
    def needs(options: Options) -> Needs:
        if not options.images and not options.language:
            raise RequestError(
                "objective.images and objective.language are both 0", "give one of them a weight"
            )
        if options.images and options.per_group * options.views == 1:
            raise RequestError(
                "with objective.per_group=1 and objective.views=1 no image has a positive",
                "set objective.views=2, or objective.images=0",
            )
        texts = options.language > 0
        return Needs(
            views=strong_views(options.views, options),
            group="caption",
            per_group=options.per_group,
            coupled=True,
            batch_norm=options.norm == "bn",
            head=texts,
            texts=texts,
        )

    def __init__(self, options: Options, start: Start) -> None:
        super().__init__(options, start, places=options.per_group)
        self.text: TextTower | None = start.texts if options.language else None
        self._images, self._language = options.images, options.language

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        embeddings = [self.model.embeddings(view) for view in batch.views]
        encoded = {f"view-{number}": self.project(one) for number, one in enumerate(embeddings, 1)}
        if self.text is None:
            return encoded
        pictures = {f"picture-{number}": one for number, one in enumerate(embeddings, 1)}
        return encoded | pictures | {"texts": self.text(batch.texts), "scale": self.text.scale}

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        image_loss, lone = self.compare(anchors(encoded, batch))
        if self.text is None:
            return {"loss": self._images * image_loss, "lone_anchors": lone}
        texts, scale = encoded["texts"], encoded["scale"]
        of_views = [
            clip_loss(encoded[name], texts, batch.groups, scale=scale)
            for name in encoded
            if name.startswith("picture-")
        ]
        text_loss = torch.stack(of_views).mean()
        return {
            "loss": self._images * image_loss + self._language * text_loss,
            "image_loss": image_loss,
            "text_loss": text_loss,
            "scale": scale,
            "lone_anchors": lone,
        }

    def after_step(self, step: int) -> None:
        if self.text is not None:
            self.text.limit_scale()

    def judged(self) -> Classifier:
        return self.model if self.text is None else self.text.give_head(self.model)
