"""A picture of what a model's patches tell apart: their joint principal components as colours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.core.errors import RequestError, unknown_name
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.records import RunRecord
from bench.core.task import Split, Task
from bench.runtime import threads
from bench.steps import loaded
from bench.steps.adapted import adapted_classifier

SPLIT = "val"
"""The images are validation images: a picture is looked at before a choice is made."""

_SIDE, _GAP = 224, 8
"""Pixels of an image in the picture, and between images."""


@dataclass(frozen=True)
class PatchPicture:
    """A picture, and what it shows.

    Attributes:
        image: The images above, and below each its patches.
        facts: The run, epoch, images, size and grid; `explained` are the components' shares of the
            variance.
    """

    image: Image.Image
    facts: Json


def patch_picture(
    record: RunRecord, home: Home, class_name: str, count: int, size: int | None
) -> PatchPicture:
    """Return the first validation images of a class with their patches in joint colours.

    Args:
        record: The run, whose chosen epoch is shown.
        home: Where it is.
        class_name: The class.
        count: Images, from the beginning of the split.
        size: Side in pixels at which the model is given them, whole; None for its own.

    Raises:
        RequestError: If there is no such class or not so many images of it, or the model has no
            patches or takes no images of this size.
    """
    from adapt.patches import Patches
    from eval.dense.components import coloured
    from eval.features.model_features import ModelFeatures

    task = loaded.task_of(record.spec).at(home)
    label = task.label(class_name)
    if label is None:
        raise unknown_name("class", class_name, task.class_names)
    model = str(home.find_weights(record.spec.model))
    patches = Patches(loaded.clip_of(model).model.visual)
    if size is not None:
        patches.check_size(size)
    split = task.split(SPLIT, home)
    rows = _rows(split, task, label, count)
    features = ModelFeatures(
        adapted_classifier(record, home),
        loaded.task_images_of(task, home, model),
        lambda: loaded.text_head_of(task, model),
    )
    side = size or features.image_size
    images = [split.read(row) for row in rows]
    with threads.limited_for(Path(model)):
        tokens = np.concatenate(list(features.patch_tokens(images.__getitem__, count, side)))
    colours, shares = coloured(tokens)
    facts = {
        "run": record.run_id, "epoch": record.selection.get("epoch", 0), "task": task.name,
        "split": SPLIT, "class": task.class_names[label],
        "images": [split.keys[row] for row in rows], "size": side,
        "grid": list(tokens.shape[1:3]), "explained": [round(float(one), 6) for one in shares],
    }  # fmt: skip
    return PatchPicture(_laid_out(images, [Image.fromarray(one) for one in colours]), facts)


def _rows(split: Split, task: Task, label: int, count: int) -> list[int]:
    """Return the first rows of a class in a split.

    Raises:
        RequestError: If it has not so many.
    """
    has = split.labels == label if split.targets is None else split.targets[:, label]
    rows: list[int] = np.flatnonzero(has).tolist()
    if len(rows) < count:
        raise RequestError(
            f"the class {task.class_names[label]} of task {task.name} has {len(rows)} images in "
            f"{SPLIT}, not {count}",
            f"ask for --images {len(rows)}" if rows else "take another class",
        )
    return rows[:count]


def _laid_out(images: list[Image.Image], patches: list[Image.Image]) -> Image.Image:
    """Return images in a row, and their patches in a row below, on white."""
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (len(images) * step - _GAP, 2 * step - _GAP), "white")
    for place, (image, grid) in enumerate(zip(images, patches, strict=True)):
        smooth = Image.Resampling.BICUBIC if min(image.size) >= _SIDE else Image.Resampling.NEAREST
        sheet.paste(image.resize((_SIDE, _SIDE), smooth), (place * step, 0))
        sheet.paste(grid.resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (place * step, step))
    return sheet
