"""Objectives of a tiny CLIP, and batches made by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from adapt.models import Classifier, Clip, load_clip
from adapt.text_tower import TextTower
from bench.plugins import Batch, Start, objective_of
from tests.support.tiny_clip import COLOURS, SIZE, colour_task, write_tiny_clip

SMALL = {"hidden": 32, "out": 8}
"""A projection head that suits a tiny CLIP."""


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
    clip: Clip, groups: Sequence[int], *, views: int = 1, labels: Sequence[int] | None = None
) -> Batch:
    """Return random images in some groups; each group has a caption of its own."""
    torch.manual_seed(1)
    named = torch.tensor(groups)
    words = ["red", "green", "blue", "grey"]
    captions = [f"a {words[one % 4]} {words[one // 4 % 4]} square" for one in groups]
    return Batch(
        views=tuple(torch.randn(len(groups), 3, SIZE, SIZE) for _ in range(views)),
        rows=torch.arange(len(groups)) + 100,
        groups=named,
        labels=named % len(COLOURS) if labels is None else torch.tensor(labels),
        texts=clip.tokens(captions),
    )
