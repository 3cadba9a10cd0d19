"""Cross-entropy that a test watches, or interferes with."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from adapt.objectives.ce import CrossEntropy
from bench.plugins import Batch, Config, Start

Encoded = Mapping[str, Tensor]


class Observer:
    """Stands where an objective's class does; what it starts asks it for each loss."""

    Options = Config
    needs = staticmethod(CrossEntropy.needs)

    def __call__(self, options: Config, start: Start) -> CrossEntropy:
        return _Observed(self, options, start)

    def loss(self, encoded: Encoded, labels: Tensor, plain: Tensor) -> Tensor:
        """Return the loss.

        Args:
            encoded: What cross-entropy encoded: the logits.
            labels: Classes, int64 ``[b]``.
            plain: Their cross-entropy.
        """
        return plain


class _Observed(CrossEntropy):
    def __init__(self, observer: Observer, options: Config, start: Start) -> None:
        super().__init__(options, start)
        self._observer: Any = observer

    def loss(self, encoded: Encoded, batch: Batch, step: int) -> dict[str, Tensor]:
        plain = super().loss(encoded, batch, step)["loss"]
        return {"loss": self._observer.loss(encoded, batch.labels, plain)}
