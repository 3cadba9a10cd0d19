"""Cross-entropy on one-hot labels: the paper's objective (Geng 2024, section 4)."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from bench.plugins import Batch, Config, Needs, Start, objectives


@objectives.register("ce")
class CrossEntropy(nn.Module):
    """The mean cross-entropy between the head's logits and the labels."""

    Options = Config

    @staticmethod
    def needs(options: Config) -> Needs:
        return Needs(classes=True)

    def __init__(self, options: Config, start: Start) -> None:
        super().__init__()
        self.model = start.model

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return {"logits": self.model(batch.views[0])}

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(encoded["logits"], batch.labels)}
