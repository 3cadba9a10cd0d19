"""An objective with a head of its own: the tower learns to tell how an image was turned."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.plugins import Batch, Config, Needs, Start, View, objectives


@objectives.register("rotation")
class Rotation(nn.Module):
    """Images are turned by quarters; the loss is that of saying by how many (Gidaris 2018)."""

    class Options(Config, frozen=True, kw_only=True):
        """What `--set objective.NAME=VALUE` may change."""

        smoothing: float = 0.0
        """The share of a target that the other turns get."""

    @staticmethod
    def needs(options: Options) -> Needs:
        return Needs(views=(View(name="turned", area=(0.5, 1.0)),), head=False)

    def __init__(self, options: Options, start: Start) -> None:
        super().__init__()
        self.options, self.model = options, start.model
        self.turns = nn.Linear(self.model.head.in_features, 4).to(self.model.device)

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        pairs = zip(batch.views[0], (batch.rows + step) % 4, strict=True)
        turned = torch.stack([image.rot90(int(quarters), (1, 2)) for image, quarters in pairs])
        return {"logits": self.turns(self.model.features(turned))}

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        logits, quarters = encoded["logits"], (batch.rows + step) % 4
        smoothing = self.options.smoothing
        loss = functional.cross_entropy(logits, quarters, label_smoothing=smoothing)
        return {"loss": loss, "right": (logits.argmax(dim=1) == quarters).float().mean()}
