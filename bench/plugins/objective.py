"""The interface of objectives: what one needs of a batch, what it is given, what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec

from bench.core.config import Config, Fraction, Positive

if TYPE_CHECKING:
    from torch import Tensor

Grouping = Literal["image", "caption", "class"]
"""What makes images a group: being one image, having one caption and class, having one class."""

OTHERS_REMEDY = (
    "use --objective stablerep or simclr; or images of classes alone, without "
    "source.captions.concepts or captions that are not labelled"
)
"""What to do where images are of no class, and an objective needs one."""

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class View(Config, frozen=True, kw_only=True):
    """One augmented crop of every image; without any field, the model's own training transform."""

    name: str = ""
    """Its random numbers depend on it, and on no other view."""
    size: Share = 1.0
    """Its side, as a share of the model's."""
    area: tuple[Share, Share] | None = None
    """The least and the largest share of the image's area; None for the model's own."""
    recipe: Literal["crop", "simclr", "byol"] = "crop"
    """What follows the crop: nothing; StableRep's strong augmentation, which is SimCLR's; or
    SynCLR's, which is BYOL's."""
    downsample: Fraction = 0.0
    """The probability that the image is first brought down to 64 or 128 pixels, for a model of 224
    and less for smaller ones, and back (StableRep's code; SynCLR)."""


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
    batch_norm: bool = False
    """Whether what it trains beside the classifier has batch statistics, which need whole batches.
    """
    head: bool = True
    """Whether the classifier's head is adapted too."""
    masks: Masks | None = None
    texts: bool = False
    """Whether it needs the images' captions, and the model's text tower."""
    classes: bool = False
    """Whether it needs each image's class; with groups by class it does in any case."""

    @property
    def labels(self) -> bool:
        """Whether an image of no class is of no use to it."""
        return self.classes or self.group == "class"


@dataclass(frozen=True)
class Batch:
    """One process's images of a batch.

    Attributes:
        views: The crops, view by view, normalised, float32 ``[b, 3, h_v, w_v]``.
        rows: Which images of the whole set they are, int64 ``[b]``.
        groups: Which groups of the whole set they belong to, int64 ``[b]``.
        labels: Their classes, int64 ``[b]``; `bench.core.task.NO_LABEL` for none.
        texts: Their captions' token ids, int64 ``[b, context]``, if needed.
        masks: Which patches of the first view are masked, bool ``[b, patches]``, if needed.
    """

    views: tuple[Tensor, ...]
    rows: Tensor
    groups: Tensor
    labels: Tensor
    texts: Tensor | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def split(self, size: int) -> list[Batch]:
        """Return the batch in parts of so many images; the last may have fewer."""
        return [self._part(slice(start, start + size)) for start in range(0, len(self), size)]

    def _part(self, rows: slice) -> Batch:
        return Batch(
            views=tuple(view[rows] for view in self.views),
            rows=self.rows[rows],
            groups=self.groups[rows],
            labels=self.labels[rows],
            texts=None if self.texts is None else self.texts[rows],
            masks=None if self.masks is None else self.masks[rows],
        )


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
    """What adaptation minimises: one file in ``adapt/objectives/``, one class.

    It is a `torch.nn.Module`. Whatever must outlast a step is a parameter or a buffer of it, and so
    in checkpoints. It may also be a `bench.plugins.optional.FollowsSteps` or `HasJudged`.

    Attributes:
        model: The classifier that it was started with.
    """

    model: Any

    @property
    def Options(self) -> type[Any]:  # noqa: N802 (a class nested in the plug-in's class)
        """The type of its options."""

    @staticmethod
    def needs(options: Any) -> Needs:  # noqa: ANN401 (an instance of Options)
        """Return what it needs with these options."""

    def __init__(self, options: Any, start: Start) -> None:  # noqa: ANN401 (an instance of Options)
        """Take the options, and the model to train."""

    def encode(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        """Return everything that depends on the images or on parameters, by names of its choice.

        It is called once on the whole batch or, when memory is short, twice on each part of it, so
        rows must not depend on each other, but for batch statistics. Every parameter that is
        trained is used here, under mixed precision.

        Returns:
            Tensors of rows, image by image, ``[b, …]`` or of as many rows as an image has; and
            scalars, the same for all.
        """

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> Mapping[str, Tensor]:
        """Return the scalar ``loss`` of what `encode` returned, and scalars to log by other names.

        If the objective is coupled, it sees all of this process's images at once, and may gather
        those of other processes. The mean over the processes is the loss of the whole batch.
        """


@dataclass(frozen=True)
class ConfiguredObjective:
    """An objective with its options, not started.

    Attributes:
        kind: Its class.
        options: An instance of its options.
    """

    kind: type[Objective]
    options: Config

    @property
    def needs(self) -> Needs:
        """What it needs."""
        return self.kind.needs(self.options)

    def start(self, start: Start) -> Objective:
        """Return the objective of a model."""
        return self.kind(self.options, start)
