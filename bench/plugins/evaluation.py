"""The interface of evaluators: the view of a model, the evaluation, and the evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import FloatArray, LabelArray, TargetArray
from bench.core.json_values import Json
from bench.core.task import Split, Task

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image


class ModelView(Protocol):
    """An evaluator's view of a model: its features on the task's splits, and its heads."""

    task: Task

    def features(self, split: str) -> FloatArray:
        """Return L2-normalised features, float32 ``[n, dim]``, computed once per split."""

    def penultimate(self, split: str) -> FloatArray:
        """Return the features before the projection, float32 ``[n, width]``, not normalised."""

    def augmented(
        self, split: str, layer: Literal["projection", "penultimate"], seed: tuple[int, ...]
    ) -> FloatArray:
        """Return features of a random crop of each image, float32 ``[n, dim]``.

        Args:
            split: The images.
            layer: Whether they are as `features` or as `penultimate` returns them.
            seed: Decides the crops, whatever the model.
        """

    def keys(self, split: str) -> Sequence[str]:
        """Return the images' names."""

    def labels(self, split: str) -> LabelArray:
        """Return the labels, int64 ``[n]``; those of a multi-label task are all -1."""

    def targets(self, split: str) -> TargetArray | None:
        """Return which classes each image of a multi-label task has, bool ``[n, classes]``."""

    def head_logits(self, split: str) -> FloatArray:
        """Return the classification head's logits, float32 ``[n, classes]``."""

    def text_logits(self, split: str) -> FloatArray:
        """Return the logits of the zero-shot head, never trained, float32 ``[n, classes]``."""

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return the classification head's weight ``[classes, dim]`` and bias ``[classes]``."""

    def split(self, name: str) -> Split:
        """Return a split of the task: its images, and their masks where it has any."""

    @property
    def image_size(self) -> int:
        """The side of the images that the model takes, in pixels; the greater of two."""

    def patch_tokens(self, read: Callable[[int], Image], n: int, size: int) -> Iterator[FloatArray]:
        """Yield the patch tokens of images in batches, float32 ``[b, rows, columns, width]``.

        Args:
            read: Returns the image at an index, RGB; it is made a square, whatever its sides.
            n: How many images there are.
            size: The square's side, in pixels.
        """

    @property
    def scratch(self) -> Path:
        """A folder for large files that are needed for a while."""


@dataclass(frozen=True)
class Overlap:
    """How the pixels of images that a model segmented agree with the truth.

    Attributes:
        keys: One unique name per image.
        intersections: Pixels of each class in the truth and in the prediction, int64
            ``[n, classes]``.
        unions: Pixels of each class in one of them or in both, int64 ``[n, classes]``.
    """

    keys: Sequence[str]
    intersections: NDArray[np.int64]
    unions: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """An evaluator's result on one split.

    Attributes:
        predicted: Class indices, int64 ``[n]``, or ``[trials, n]`` where it made several trials.
        labels: True class indices, int64 ``[n]``; -1 throughout in a multi-label task.
        chosen: Hyper-parameters selected on validation data.
        details: Results beyond scores, for the record.
        parts: Evaluations that are scored in this one's place, each as EVALUATOR-PART; this one
            is their summary where one number is needed.
        split: The split that was evaluated, where it is not the one that was asked for.
        scores: How much each image looks like each class, float32 ``[n, classes]``, by which images
            are ranked; a multi-label task needs them.
        targets: Which classes each image of a multi-label task has, bool ``[n, classes]``.
        overlap: Of an evaluator that segments images, by which it is scored; it may have images of
            its own. Labels and predictions are then -1.
    """

    predicted: LabelArray
    labels: LabelArray
    chosen: Json
    details: Json = field(default_factory=dict)
    parts: Mapping[str, Evaluation] = field(default_factory=dict)
    split: str = ""
    scores: FloatArray | None = None
    targets: TargetArray | None = None
    overlap: Overlap | None = None

    @property
    def hits(self) -> NDArray[np.float64]:
        """Per image, the share of trials that were right, float64 ``[n]``; one label each."""
        share: NDArray[np.float64] = np.atleast_2d(self.predicted == self.labels).mean(axis=0)
        return share

    def scored(self, name: str) -> dict[str, Evaluation]:
        """Return the evaluations to score, by name."""
        return {f"{name}-{part}": inner for part, inner in self.parts.items()} or {name: self}


class Evaluator(Protocol):
    """Evaluates a model: one file in ``eval/``, one class."""

    @property
    def Options(self) -> type[Any]:  # noqa: N802 (a class nested in the plug-in's class)
        """The type of its options."""

    def __init__(self, options: Any) -> None:  # noqa: ANN401 (an instance of Options)
        """Take the options."""

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate on the validation split; the test split is not opened."""

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate on the test split; every choice was made on validation data."""
