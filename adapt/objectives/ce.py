"""Cross-entropy on one-hot labels: the paper's objective (Geng 2024, section 4)."""

from torch import Tensor
from torch.nn import functional

from adapt.models import Classifier
from bench.plugins import objectives


@objectives.register("ce")
class CrossEntropy:
    """The mean cross-entropy between the head's logits and the labels."""

    def loss(self, model: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of a batch; see `bench.plugins.objective.Objective`."""
        return functional.cross_entropy(model(images), labels)
