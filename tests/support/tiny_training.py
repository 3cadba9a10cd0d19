"""A fine-tuning of seconds: a tiny CLIP, forty noisy squares and three epochs."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from adapt import training as training_module
from adapt.augment import Augment
from adapt.data import TrainingImages
from adapt.finetune import Adapted, finetune
from adapt.models import Classifier, load_clip
from adapt.objectives.ce import CrossEntropy
from adapt.training import Validate
from bench.core.progress import Progress
from bench.core.specs import TrainSpec
from bench.plugins.objective import Objective
from tests.support.tiny_clip import colour_task, write_colours, write_tiny_clip

SPEC = TrainSpec(epochs=3, batch_size=16, lr=1e-3, warmup_steps=2)
N = 40


def rising() -> Validate:
    """Scores that rise with every epoch, so that the last one is chosen."""
    counter = itertools.count()
    return lambda *_: float(next(counter))


def world(folder: Path, patch_dropout: float = 0.0) -> tuple[Classifier, TrainingImages]:
    """Return the unadapted classifier, whose tower drops a share of patches, and its images."""
    clip = load_clip(write_tiny_clip(folder / "clip", patch_dropout=patch_dropout))
    image_set = write_colours(folder / "data", N, colour_task())
    rows = image_set.select(None, 0, "random")
    images = TrainingImages(image_set.data, rows, Augment.of(clip.preprocess_train), seed=0)
    return Classifier.from_clip(clip, colour_task()), images


def adapt(
    folder: Path,
    spec: TrainSpec = SPEC,
    validate: Validate | None = None,
    objective: Objective | None = None,
    run: str = "run",
    patch_dropout: float = 0.0,
) -> Adapted:
    """Fine-tune that classifier."""
    classifier, images = world(folder, patch_dropout)
    return finetune(
        classifier,
        images,
        objective or CrossEntropy(),
        spec,
        folder=folder / run,
        validate=validate or rising(),
        progress=Progress(quiet=True),
    )


def save_always(patch: pytest.MonkeyPatch, check_steps: int = 50) -> None:
    """Save whenever a training may, every so many steps of an epoch: a user's take minutes."""
    patch.setattr(training_module, "CHECK_STEPS", check_steps)
    patch.setattr(training_module, "SAVE_SECONDS", 0.0)
    patch.setattr(training_module, "SAVE_SHARE", math.inf)


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    """Compare weights, but for the attention keys' biases where anything may differ.

    Softmax ignores those biases, so their gradient is rounding alone, which Adam makes a full step.
    """
    assert left.keys() == right.keys()
    for name, value in left.items():
        compared = torch.ones_like(value, dtype=torch.bool)
        if tolerance and name.endswith("in_proj_bias"):
            compared.chunk(3)[1].fill_(False)  # Queries, keys and values, in this order.
        difference = (value - right[name])[compared].abs().max()
        assert difference <= tolerance, name
