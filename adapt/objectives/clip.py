"""CLIP's own objective: images and their captions attract each other (Radford 2021).

Geng 2024 found cross-entropy better "across the board" (appendix B.1).
"""

from collections.abc import Mapping

from torch import Tensor, nn

from adapt.losses.clip import clip_loss
from adapt.models import Classifier
from adapt.text_tower import TextTower
from bench.plugins import Batch, Config, Needs, Start, objectives


@objectives.register("clip")
class ClipContrast(nn.Module):
    """The contrastive loss of both towers; the head to evaluate is what the prompts become."""

    Options = Config

    @staticmethod
    def needs(options: Config) -> Needs:
        return Needs(group="caption", coupled=True, texts=True)

    def __init__(self, options: Config, start: Start) -> None:
        super().__init__()
        self.model: Classifier = start.model
        self.model.head.requires_grad_(False)
        self.text: TextTower = start.texts

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return {
            "images": self.model.features(batch.views[0]),
            "texts": self.text(batch.texts),
            "scale": self.text.scale,
        }

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        images, texts, scale = (encoded[name] for name in ("images", "texts", "scale"))
        return {"loss": clip_loss(images, texts, batch.groups, scale=scale), "scale": scale}

    def after_step(self, step: int) -> None:
        self.text.limit_scale()

    def judged(self) -> Classifier:
        return self.text.give_head(self.model)
