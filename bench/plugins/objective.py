"""The interface of objectives: what one needs of a batch, what it is given, what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec

from bench.core.config import Config, Fraction, Positive

if TYPE_CHECKING:
    from torch import Tensor

Grouping = Literal["image", "caption", "class"]
"""What makes images a group: being one image, having one caption and class, having one class."""

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class View(Config, frozen=True, kw_only=True):
    """One crop of every image of a batch; without any field, the model's own training transform."""

    name: str = ""
    """Its random numbers depend on it, and on no other view."""
    size: Share = 1.0
    """Its side, as a share of the model's."""
    area: tuple[Share, Share] | None = None
    """The least and the largest share of the image's area; None for the model's own."""
    recipe: Literal["crop", "simclr", "byol"] = "crop"
    """What follows the crop: nothing; StableRep's strong augmentation, which is SimCLR's; or
    SynCLR's, which is BYOL's."""


class Masks(Config, frozen=True, kw_only=True):
    """Which patches of the first view are masked (SynCLR: half of the images, half of each)."""

    images: Fraction = 0.5
    """The probability that an image is masked."""
    patches: Fraction = 0.5
    """The share of its patches that is."""


class Needs(Config, frozen=True, kw_only=True):
    """What an objective needs; known before any work."""

    views: tuple[View, ...] = (View(),)
    group: Grouping = "image"
    per_group: Positive = 1
    """Images of a group in a batch; smaller groups are left out."""
    coupled: bool = False
    """Whether the images of a batch see each other, in the loss or by batch statistics."""
    head: bool = True
    """Whether the classifier's head is adapted too."""
    masks: Masks | None = None
    texts: bool = False
    """Whether it needs the images' captions, and the model's text tower."""


@dataclass(frozen=True)
class Batch:
    """One process's images of a batch.

    Attributes:
        views: The crops, view by view, normalised, float32 ``[b, 3, h_v, w_v]``.
        rows: Which images of the whole set they are, int64 ``[b]``.
        groups: Which groups of the whole set they belong to, int64 ``[b]``.
        labels: Their classes, int64 ``[b]``.
        texts: Their captions' token ids, int64 ``[b, context]``, if needed.
        masks: Which patches of the first view are masked, bool ``[b, patches]``, if needed.
    """

    views: tuple[Tensor, ...]
    rows: Tensor
    groups: Tensor
    labels: Tensor
    texts: Tensor | None = None
    masks: Tensor | None = None


@dataclass(frozen=True)
class Start:
    """What an objective starts from.

    Attributes:
        model: An `adapt.models.Classifier`, which is trained in place.
        steps: Optimiser steps of the whole training.
        texts: An `adapt.text_tower.TextTower`, if texts are needed.
    """

    model: Any
    steps: int
    texts: Any = None


class Objective(Protocol):
    """A loss that adaptation minimises: one file in ``adapt/objectives/``, one class."""

    def loss(self, model: Any, images: Any, labels: Any) -> Any:  # noqa: ANN401 (torch stays out)
        """Return the scalar loss of one batch.

        Args:
            model: An `adapt.models.Classifier`.
            images: Normalised images, float ``[b, 3, h, w]``.
            labels: Class indices, int64 ``[b]``.
        """
