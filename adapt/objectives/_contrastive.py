"""What the contrastive objectives share: strong views, and a head that only the loss sees."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from adapt.layers.heads import Norm, mlp_head
from adapt.losses.multi_positive import multi_positive_loss
from adapt.models import Classifier
from bench.core.config import AboveZero, Fraction, Positive
from bench.core.errors import RequestError
from bench.plugins import Batch, Config, Start, View
from bench.plugins.objective import Share


class ContrastiveOptions(Config, frozen=True, kw_only=True):
    """The crops, the projection head and the temperature."""

    later: ClassVar[tuple[str, ...]] = ("downsample",)
    temperature: AboveZero = 0.1
    """Cosines are divided by it; StableRep's (code, main_stablerep.py:60)."""
    area: tuple[Share, Share] = (0.08, 1.0)
    """The least and the largest share of an image that a crop shows; StableRep's."""
    norm: Norm = "bn"
    """The head's; `bn` is StableRep's, `ln` lets a batch be computed in parts."""
    hidden: Positive = 4096
    """Width of the head's two hidden layers; StableRep's."""
    out: Positive = 256
    """Length of what the loss compares; StableRep's."""
    downsample: Fraction = 0.0
    """The probability that a view's image is brought down to a few pixels and back before it is
    cropped, so that sharpness tells less; 0.05 where StableRep's code has it."""


class Anchors(NamedTuple):
    """All views of a process's images, one below the other.

    Attributes:
        features: What the loss compares, float ``[views * b, out]``.
        groups: Their groups, int64 ``[views * b]``.
        ids: What identifies a view in all processes, int64 ``[views * b]``.
    """

    features: Tensor
    groups: Tensor
    ids: Tensor


class Contrastive(nn.Module):
    """Images of a group attract each other, all others of the batch repel each other.

    The loss compares what a projection head makes of the tower's output. Evaluators get that
    output, and not the head.

    Args:
        options: The options.
        start: What is trained; the classifier's own head is not.
        places: Images of a group that stand together in a batch.
    """

    def __init__(self, options: ContrastiveOptions, start: Start, places: int = 1) -> None:
        super().__init__()
        self.model: Classifier = start.model
        head = self.model.head.requires_grad_(False)
        projection = mlp_head(head.in_features, options.hidden, options.out, norm=options.norm)
        self.projection = projection.to(head.weight)
        self._temperature = options.temperature
        self._places = places if options.norm == "bn" else 1

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        views = [self.project(self.model.embeddings(view)) for view in batch.views]
        return {f"view-{number}": view for number, view in enumerate(views, 1)}

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        loss, lone = self.compare(anchors(encoded, batch))
        return {"loss": loss, "lone_anchors": lone}

    def compare(self, anchors: Anchors) -> tuple[Tensor, Tensor]:
        """Return the loss of some views, and how many have no positives in any process."""
        return multi_positive_loss(
            anchors.features, anchors.groups, temperature=self._temperature, ids=anchors.ids
        )

    def project(self, embeddings: Tensor, head: nn.Module | None = None) -> Tensor:
        """Return what the loss sees of one view's embeddings, ``[b, dim]``.

        Batch statistics are those of one view, and of one image of every group: the first ones are
        normalised together, the second ones, and so on (StableRep, code, models/StableRep.py:52).

        Args:
            embeddings: The embeddings.
            head: What they go through; by default the projection head.
        """
        head = head or self.projection
        places = [head(embeddings[first :: self._places]) for first in range(self._places)]
        return torch.stack(places, dim=1).flatten(0, 1)


def strong_views(count: int, options: ContrastiveOptions) -> tuple[View, ...]:
    """Return so many strongly augmented views; those of a number are alike in all objectives.

    Raises:
        RequestError: If they cannot have that area.
    """
    check_area(options)
    return tuple(
        View(
            name=f"strong-{number}",
            area=options.area,
            recipe="simclr",
            downsample=options.downsample,
        )
        for number in range(1, count + 1)
    )


def check_area(options: ContrastiveOptions) -> None:
    """Make sure that crops can have their area.

    Raises:
        RequestError: If they cannot.
    """
    least, most = options.area
    if least > most:
        raise RequestError(
            f"objective.area={[least, most]} ends before it begins",
            f"write objective.area={[most, least]}",
        )


def anchors(encoded: Mapping[str, Tensor], batch: Batch) -> Anchors:
    """Return the views that `Contrastive.encode` returned, with their groups and ids."""
    views = [encoded[name] for name in encoded if name.startswith("view-")]
    ids = [batch.rows * len(views) + number for number in range(len(views))]
    return Anchors(torch.cat(views), batch.groups.repeat(len(views)), torch.cat(ids))
