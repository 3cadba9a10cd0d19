"""The training images of a run as an objective needs them: views, captions and masks."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from adapt.batches.order import IntArray
from adapt.data import TrainingImages
from adapt.models import Clip
from adapt.views.augment import Augment
from adapt.views.masks import PatchMasks, patch_grid, patch_size
from bench.core.errors import BenchError
from bench.core.specs import Crop
from bench.plugins.objective import Needs


def training_images(  # noqa: PLR0913 (only the run knows each of these)
    data: Path,
    rows: pl.DataFrame,
    clip: Clip,
    needs: Needs,
    *,
    crop: Crop,
    seed: int,
    groups: Sequence[int] | None = None,
    pairs: IntArray | None = None,
) -> TrainingImages:
    """Return the images of a run.

    Args:
        data: The folder that the rows' shard paths are relative to.
        rows: Rows of an image set's index.
        clip: The model, whose training transform and tokenizer are taken.
        needs: What the objective needs.
        crop: How an image that is not square is cropped.
        seed: The run's seed.
        groups: The group of each row; None if each is one of its own.
        pairs: The pair of each row, int64 ``[rows]``, if those of one are to be adjacent.

    Raises:
        RequestError: If masks are needed and the image tower has no patches, or captions and the
            model has no text tower.
        BenchError: If views have one name, masks are needed of a smaller view than the model's, or
            the model's training transform does not fit.
    """
    names = [view.name for view in needs.views]
    if len(set(names)) < len(names):
        raise BenchError(f"the objective's views have one name: {', '.join(map(repr, names))}")
    patch = patch_size(clip.model.visual) or (1, 1)
    return TrainingImages(
        data,
        rows,
        [Augment.of(clip.preprocess_train, crop, view, patch) for view in needs.views],
        seed,
        groups=groups,
        pairs=pairs,
        tokens=clip.tokens if needs.texts else None,
        masks=_masks(clip, needs),
    )


def _masks(clip: Clip, needs: Needs) -> PatchMasks | None:
    if needs.masks is None:
        return None
    if needs.views[0].size != 1:
        raise BenchError("the objective masks patches of a view that is smaller than the model's")
    return PatchMasks(needs.masks, patch_grid(clip.model.visual))
