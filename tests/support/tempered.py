"""An objective with options, which leaves the classifier's head alone."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from bench.plugins import Batch, Config, Masks, Needs, Start, objectives


@objectives.register("tempered")
class Tempered(nn.Module):
    """Cross-entropy of the head's logits, divided by a temperature; the tower alone is trained."""

    class Options(Config, frozen=True, kw_only=True):
        """What `--set objective.NAME=VALUE` may change."""

        temperature: float = 0.1
        per_group: int = 1
        texts: bool = False
        masks: bool = False

    @staticmethod
    def needs(options: Options) -> Needs:
        masks = Masks() if options.masks else None
        return Needs(
            group="class",
            per_group=options.per_group,
            head=False,
            masks=masks,
            texts=options.texts,
        )

    def __init__(self, options: Options, start: Start) -> None:
        super().__init__()
        self.model = start.model
        self._temperature = options.temperature

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return {"logits": self.model(batch.views[0])}

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        logits = encoded["logits"] / self._temperature
        return {"loss": functional.cross_entropy(logits, batch.labels)}
