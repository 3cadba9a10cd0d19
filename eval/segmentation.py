"""Segmentation: a linear head on frozen patch tokens, scored by its mean intersection over union.

The head is DINOv2's linear one (Oquab 2023, section 7.4): a linear layer on the tokens of the last
block, upsampled bilinearly. It is trained on train with several learning rates at once. The rate
with the highest mIoU on val is chosen; its head then predicts the test split once, upsampled to
every mask's own size. Images are scaled to a square as a whole, whatever their sides, and seen
once, not by sliding windows.

Images and masks are the task's, where it has masks: those of the miniature world, whose background
is a class of its own. With ``path``, they are those of a folder laid out as ADE20K's scene parsing
benchmark (Zhou 2017): ``images/training/NAME.jpg``, ``annotations/training/NAME.png``, and the same
below ``validation``; 150 classes, and label 0 does not count. Then test is its validation split,
and val a tenth of its training images.

Tokens of a split are computed once per model, in float16, and kept for no other run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.core.arrays import LabelArray, MaskArray
from bench.core.config import AboveZero, Config, Natural, PathText, Positive
from bench.core.errors import BenchError, RequestError
from bench.core.files import fingerprint_of
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView, Overlap
from bench.runtime.float32 import float32_products
from eval.dense.heads import Head, Recipe, Tokens, fit_heads
from eval.dense.kept import kept
from eval.dense.masked import Masked, check_folder, files, of_folder, of_task
from eval.dense.upsample import classes_of
from eval.metrics import mean_iou
from eval.probe.arrays import devices


@dataclass(frozen=True)
class _Fitted:
    """The heads of one model, and how they do on val.

    Attributes:
        model: The model.
        heads: One per learning rate.
        overlaps: Of each on val.
        best: The index of the best one.
    """

    model: ModelView
    heads: list[Head]
    overlaps: list[Overlap]

    @property
    def scores(self) -> list[float]:
        return [mean_iou.mean(overlap) for overlap in self.overlaps]

    @property
    def best(self) -> int:
        return int(np.argmax(self.scores))


@evaluators.register("segmentation")
class Segmentation:
    """Evaluates patch tokens by how well a linear head segments images with them."""

    class Options(Config, frozen=True, kw_only=True):
        """Which images, how large, and how the head is trained."""

        path: PathText | None = None
        """A folder laid out as ADE20K's; without one, the task's own images, if they have masks."""
        size: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
        """Side in pixels that images are given to the model at, a multiple of its patches: 512 or,
        for patches of 14, 518 with ADE20K. None: the model's own."""
        lr: Annotated[tuple[AboveZero, ...], msgspec.Meta(min_length=1)] = (
            *(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        )
        """Learning rates, of which one is chosen on val; DINOv2's is 1e-3."""
        steps: Positive = 40_000
        """Steps of the optimiser, DINOv2's."""
        batch_size: Positive = 16
        """Images in a step, DINOv2's."""
        seed: Natural = 0
        """Seed of the initial weights and of the order of images; the same in every run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fitted: _Fitted | None = None

    @property
    def image_size(self) -> int | None:
        """The side of the images whose patch tokens it takes; None for the model's own."""
        return self._options.size

    def check(self, task: Task) -> None:
        """Check that there are masks, and one of every image.

        Raises:
            RequestError: If not.
        """
        if self._options.path is not None:
            check_folder(Path(self._options.path))
        elif not task.masked:
            raise RequestError(
                f"the images of task {task.name} have no masks for the evaluator segmentation",
                "give it a folder: --set evaluators.segmentation.path=FOLDER; or leave it out",
            )

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return what identifies the folder's images and masks; nothing without one."""
        if self._options.path is None:
            return {}
        return {"segmentation": fingerprint_of(files(Path(self._options.path)))}

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate the head whose learning rate does best on val, the first of equal ones."""
        fitted = self._fit(model)
        return self._evaluation(fitted, fitted.overlaps[fitted.best], "val")

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate the same head."""
        fitted = self._fit(model)
        (overlap,) = self._overlaps(model, [fitted.heads[fitted.best]], "test")
        return self._evaluation(fitted, overlap, "test")

    def _evaluation(self, fitted: _Fitted, overlap: Overlap, split: str) -> Evaluation:
        rates = dict(zip(map(str, self._options.lr), fitted.scores, strict=True))
        chosen = {"lr": self._options.lr[fitted.best], "val_score": fitted.scores[fitted.best]}
        nothing = np.full(len(overlap.keys), -1, np.int64)
        names, ratios = self._images(fitted.model, split).classes, mean_iou.by_class(overlap)
        classes = [
            {"class": names[index], "iou": float(ratios[index])}
            for index in np.flatnonzero(~np.isnan(ratios)).tolist()
        ]
        return Evaluation(
            predicted=nothing,
            labels=nothing,
            chosen={**chosen, "val_scores": rates},
            details={"classes": classes},
            overlap=overlap,
        )

    def _fit(self, model: ModelView) -> _Fitted:
        if self._fitted is None or self._fitted.model is not model:
            options, images = self._options, self._images(model, "train")
            tokens = kept(self._tokens(model, images), len(images), "patch tokens", model.scratch)
            masks = kept(_squares(images, self._side(model)), len(images), "masks", model.scratch)
            recipe = Recipe(options.lr, options.steps, options.batch_size, options.seed)
            heads = fit_heads(tokens, masks, len(images.classes), recipe, devices()[0])
            self._fitted = _Fitted(model, heads, self._overlaps(model, heads, "val"))
        return self._fitted

    def _images(self, model: ModelView, split: str) -> Masked:
        if self._options.path is not None:
            return of_folder(Path(self._options.path), split)
        return of_task(model.split(split), model.task.class_names)

    def _side(self, model: ModelView) -> int:
        return self._options.size or model.image_size

    def _tokens(self, model: ModelView, images: Masked) -> Iterator[Tokens]:
        """Yield patch tokens in batches.

        Raises:
            BenchError: If they are not finite in float16.
        """
        for batch in model.patch_tokens(images.read, len(images), self._side(model)):
            with np.errstate(over="ignore"):  # It is told from the values.
                tokens: Tokens = batch.astype(np.float16)
            if not np.isfinite(tokens).all():
                raise BenchError("the model's patch tokens are not finite in float16")
            yield tokens

    def _overlaps(self, model: ModelView, heads: list[Head], split: str) -> list[Overlap]:
        """Return how each head does on a split, at the masks' own sizes."""
        images, device = self._images(model, split), devices()[0]
        counts = np.zeros((2, len(heads), len(images), len(images.classes)), np.int64)
        row = 0
        with torch.inference_mode(), float32_products():
            for batch in self._tokens(model, images):
                tokens = torch.from_numpy(batch).to(device).float()
                logits = [head.logits(tokens) for head in heads]
                for place in range(len(batch)):
                    mask = images.mask(row)
                    for index, one in enumerate(logits):
                        predicted = classes_of(one[place], *mask.shape).cpu().numpy()
                        counts[:, index, row] = _counts(predicted, mask, len(images.classes))
                    row += 1
        if not counts[1].any():
            raise BenchError(f"no pixel of the {split} images counts", "label some above 0")
        return [Overlap(images.keys, *counts[:, index]) for index in range(len(heads))]


def _squares(images: Masked, side: int) -> Iterator[MaskArray]:
    """Yield every mask as a square, ``[1, side, side]``, its pixels the nearest ones."""
    for index in range(len(images)):
        square = Image.fromarray(images.mask(index)).resize((side, side), Image.Resampling.NEAREST)
        yield np.asarray(square)[None]


def _counts(predicted: LabelArray, mask: MaskArray, classes: int) -> NDArray[np.int64]:
    """Return a picture's pixels of each class in both, and in either, int64 ``[2, classes]``."""
    counted = mask > 0
    guess, truth = predicted[counted], mask[counted].astype(np.int64) - 1
    shared, guessed, true = (
        np.bincount(labels, minlength=classes) for labels in (truth[guess == truth], guess, truth)
    )
    return np.stack([shared, guessed + true - shared])
