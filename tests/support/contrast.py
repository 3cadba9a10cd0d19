"""A coupled objective written plainly: images of a class attract, all others repel."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapt.models import Classifier
from bench.plugins import Batch, Config, Needs, Start


class Contrast(nn.Module):
    """Contrasts images by class, with a head, a trained scale and an average of all weights.

    The averaged model is what is judged.
    """

    class Options(Config, frozen=True, kw_only=True):
        width: int = 8
        dropout: float = 0.0
        batch_norm: bool = False

    @staticmethod
    def needs(options: Options) -> Needs:
        return Needs(group="class", coupled=True, head=False)

    def __init__(self, options: Options, start: Start) -> None:
        super().__init__()
        self.model: Classifier = start.model
        torch.manual_seed(0)
        dim, width = start.model.head.in_features, options.width
        norm = [nn.BatchNorm1d(width)] if options.batch_norm else []
        layers = [nn.Linear(dim, width), *norm, nn.Dropout(options.dropout)]
        self.projection = nn.Sequential(*layers)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.average: Classifier = copy.deepcopy(start.model).requires_grad_(False)
        self.followed: list[int] = []
        self.encoded: list[Tensor] = []

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        rows = self.projection(self.model.features(batch.views[0]))
        self.encoded.append(rows.detach())
        return {"rows": functional.normalize(rows, dim=-1), "scale": self.scale.exp()}

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        logits = encoded["scale"] * encoded["rows"] @ encoded["rows"].T
        itself = torch.eye(len(batch), dtype=torch.bool)
        logs = logits.masked_fill(itself, -torch.inf).log_softmax(dim=1)
        same = (batch.labels[:, None] == batch.labels) & ~itself
        per_anchor = torch.where(same, logs, 0).sum(dim=1) / same.sum(dim=1).clamp(min=1)
        return {"loss": -per_anchor.mean(), "size": torch.tensor(float(len(batch)))}

    def after_step(self, step: int) -> None:
        self.followed.append(step)
        pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
        for mean, latest in pairs:
            mean.data.lerp_(latest.data, 0.5)

    def judged(self) -> Classifier:
        return self.average
