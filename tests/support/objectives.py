"""Objectives of a tiny CLIP, and batches made by hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from adapt.batches.groups import grouped
from adapt.finetune import Adapted, finetune
from adapt.models import Classifier, Clip, load_clip
from adapt.text_tower import TextTower
from adapt.training import Validation
from adapt.training_images import training_images
from bench.core.progress import Progress
from bench.core.specs import TrainSpec
from bench.plugins import Batch, Start, objective_of
from tests.support.tiny_clip import COLOURS, SIZE, colour_task, write_colours, write_tiny_clip

SMALL = {"hidden": 32, "out": 8}
"""A projection head that suits a tiny CLIP."""

SYNCLR: dict[str, Any] = {
    **SMALL, "per_group": 3, "local_crops": 2, "local_size": 0.5,
    "prototypes": 12, "token_hidden": 16, "token_out": 8, "teacher_warmup": 10,
}  # fmt: skip
"""SynCLR for a tiny CLIP."""

OFF: dict[str, Any] = {"ema": False, "ibot": False, "local_crops": 0}
"""SynCLR without its parts, which is StableRep."""


def tiny_clip(folder: Path, **options: Any) -> Clip:
    """Return a tiny CLIP; options are `write_tiny_clip`'s."""
    return load_clip(write_tiny_clip(folder / "clip", **options))


def started(clip: Clip, name: str, **options: Any) -> Any:
    """Return an objective of a tiny CLIP, with the same weights in every call."""
    torch.manual_seed(0)
    model = Classifier.from_clip(clip, colour_task())
    start = Start(model=model, steps=10, texts=TextTower.from_clip(clip, colour_task()))
    objective: Any = objective_of(name, options).start(start)
    return objective.train()


def batch(
    clip: Clip,
    groups: Sequence[int],
    *,
    views: int = 1,
    labels: Sequence[int] | None = None,
    crops: int = 0,
    masked: Sequence[int] | None = None,
) -> Batch:
    """Return random images in some groups; each group has a caption of its own.

    Args:
        clip: The tiny CLIP, with patches of 8 pixels.
        groups: The images' groups.
        views: Views of the model's size.
        labels: The images' classes.
        crops: Views of half of that size besides.
        masked: How many of the 16 patches of each image are masked.
    """
    torch.manual_seed(1)
    named = torch.tensor(groups)
    words = ["red", "green", "blue", "grey"]
    captions = [f"a {words[one % 4]} {words[one // 4 % 4]} square" for one in groups]
    return Batch(
        views=tuple(
            torch.randn(len(groups), 3, side, side) for side in [SIZE] * views + [SIZE // 2] * crops
        ),
        rows=torch.arange(len(groups)) + 100,
        groups=named,
        labels=named % len(COLOURS) if labels is None else torch.tensor(labels),
        texts=clip.tokens(captions),
        masks=None if masked is None else _masks(masked),
    )


def _masks(masked: Sequence[int]) -> torch.Tensor:
    """Return masks of so many patches of each image, not always the first ones."""
    rows = [[column < count for column in range(16)] for count in masked]
    return torch.stack([torch.tensor(row).roll(3 * place) for place, row in enumerate(rows)])


def training(
    folder: Path,
    name: str,
    options: dict[str, Any],
    spec: TrainSpec,
    *,
    kind: Callable[[type], type] = lambda kind: kind,
    run: str = "run",
    seed: int = 0,
) -> Adapted:
    """Fine-tune a tiny CLIP on thirty-six squares, whose captions name their colour.

    Args:
        folder: Where to.
        name: The objective.
        options: Its options.
        spec: The training.
        kind: What is made of the objective's class.
        run: The training's folder; trainings of one name continue each other.
        seed: The run's seed.
    """
    clip, task = tiny_clip(folder), colour_task()
    image_set = write_colours(folder / "data", 36, task)
    configured = objective_of(name, options)
    chosen = grouped(image_set.select(None, 0, "random"), configured.needs)
    images = training_images(
        image_set.data, chosen.rows, clip, configured.needs,
        crop="square", seed=seed, groups=chosen.groups,
    )  # fmt: skip
    return finetune(
        Classifier.from_clip(clip, task),
        images,
        replace(configured, kind=kind(configured.kind)),
        spec,
        folder=folder / run,
        validate=lambda _, epoch: Validation(float(epoch)),
        progress=Progress(quiet=True),
        texts=TextTower.from_clip(clip, task) if configured.needs.texts else None,
    )
