"""Models with new weights: the architecture of a folder, and none of the weights it may have."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from adapt.image_encoder import new_image_encoder
from adapt.models import Clip, build_clip
from bench.core.json_values import digest
from bench.core.weights_folder import is_image_only


def untrained(clip: Clip, folder: Path, seed: int) -> Clip:
    """Return a model with new weights, image and text tower alike.

    They depend on the architecture and the seed alone: the initialisation is the one of open_clip
    or timm, on the CPU. The random numbers of the process stay as they were.

    Args:
        clip: The model that `adapt.models.load_model` returns for the folder.
        folder: Its weights folder, for the architecture.
        seed: Decides the weights.
    """
    with _seeded(seed):
        if is_image_only(folder):
            model: Any = new_image_encoder(folder)
        else:
            model, *_ = build_clip(folder, "cpu", load_weights=False)
    return replace(
        clip,
        model=model.to(clip.device).eval().requires_grad_(False),
        weights_hash="",
        model_hash="",
        trained=False,
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the CPU's random numbers for a while."""
    with torch.random.fork_rng(devices=[]):
        # Unlike torch.manual_seed, this leaves those of a GPU alone. A seed of its own, or the
        # weights would begin with the random numbers of the head and of the order of training.
        torch.default_generator.manual_seed(int(digest(["scratch", seed], length=15), 16))
        yield
