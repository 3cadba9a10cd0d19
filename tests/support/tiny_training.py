"""A fine-tuning of seconds: a tiny CLIP, forty noisy squares and three epochs."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adapt import save_policy
from adapt import training as training_module
from adapt.checkpoint import Checkpoint
from adapt.data import TrainingImages
from adapt.finetune import Adapted, finetune
from adapt.models import Classifier, load_clip
from adapt.objectives.ce import CrossEntropy
from adapt.training import Validation
from adapt.views.augment import Augment
from bench.core.config import Config
from bench.core.progress import Progress
from bench.core.specs import TrainSpec
from bench.plugins.objective import ConfiguredObjective
from tests.support.observed import Encoded, Observer
from tests.support.tiny_clip import colour_task, write_colours, write_tiny_clip

SPEC = TrainSpec(epochs=3, batch_size=16, lr=1e-3, warmup_steps=2)
N = 40


Scores = Callable[[Classifier, int], float]


def rising() -> Scores:
    """Scores that rise with every epoch, so that the last one is chosen."""
    counter = itertools.count()
    return lambda *_: float(next(counter))


def world(folder: Path, **clip_options: Any) -> tuple[Classifier, TrainingImages]:
    """Return an unadapted classifier and its images; options are `write_tiny_clip`'s."""
    clip = load_clip(write_tiny_clip(folder / "clip", **clip_options))
    image_set = write_colours(folder / "data", N, colour_task())
    rows = image_set.select(None, 0, "random")
    images = TrainingImages(image_set.data, rows, [Augment.of(clip.preprocess_train)], seed=0)
    return Classifier.from_clip(clip, colour_task()), images


def train(
    classifier: Classifier,
    images: TrainingImages | None,
    folder: Path,
    spec: TrainSpec = SPEC,
    scores: Scores | None = None,
    objective: Any = CrossEntropy,
    options: Config | None = None,
) -> Adapted:
    """Fine-tune a classifier; an objective is a class or an `Observer`."""
    score = scores or rising()
    return finetune(
        classifier,
        images,
        ConfiguredObjective(objective, options or objective.Options()),
        spec,
        folder=folder,
        validate=lambda model, epoch: Validation(score(model, epoch)),
        progress=Progress(quiet=True),
    )


def adapt(
    folder: Path,
    spec: TrainSpec = SPEC,
    scores: Scores | None = None,
    objective: Any = CrossEntropy,
    run: str = "run",
    **clip_options: Any,
) -> Adapted:
    """Fine-tune the unadapted classifier of `world`."""
    return train(*world(folder, **clip_options), folder / run, spec, scores, objective)


class EndedError(Exception):
    """What ends a training before it is done."""


def end() -> None:
    raise EndedError


class WatchedLoss(Observer):
    """Cross-entropy that records its calls, and does something at one of them.

    Args:
        at: The call, from 1.
        action: What to do before it; by default, to end the training.
    """

    def __init__(self, at: int = 0, action: Callable[[], None] = end) -> None:
        self._at = at
        self._action = action
        self.sizes: list[int] = []
        self.values: list[float] = []

    def loss(self, encoded: Encoded, labels: Tensor, plain: Tensor) -> Tensor:
        self.sizes.append(len(labels))
        if len(self.sizes) == self._at:
            self._action()
        self.values.append(plain.item())
        return plain


def kept(folder: Path) -> Checkpoint:
    """Return the checkpoint that a run left."""
    checkpoint = Checkpoint.load(folder / "run")
    assert checkpoint is not None
    return checkpoint


def last_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the latest weights of the classifier that a checkpoint has."""
    return {name.removeprefix("model."): value for name, value in checkpoint.last.items()}


def position(folder: Path) -> tuple[int, int]:
    """Return the epoch that a checkpoint continues in, and the step in it."""
    return len(kept(folder).history), kept(folder).progress.step


def losses(training: Adapted | Checkpoint) -> list[float | None]:
    """Return the losses of all epochs but the unadapted one."""
    return [epoch.loss for epoch in training.history[1:]]


def save_always(patch: pytest.MonkeyPatch, check_steps: int = 50) -> None:
    """Save at every look at the losses, which come every so many steps of an epoch."""
    patch.setattr(training_module, "CHECK_STEPS", check_steps)
    patch.setattr(save_policy, "SAVE_SECONDS", 0.0)
    patch.setattr(save_policy, "SAVE_SHARE", math.inf)


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    """Compare weights; with a tolerance, leave out the biases of the attention keys.

    Softmax ignores those biases, so their gradient is rounding, which Adam makes a full step of.
    """
    assert left.keys() == right.keys()
    for name, value in left.items():
        compared = torch.ones_like(value, dtype=torch.bool)
        if tolerance and name.endswith("in_proj_bias"):
            compared.chunk(3)[1].fill_(False)  # Queries, keys and values, in this order.
        difference = (value - right[name])[compared].abs().max()
        assert difference <= tolerance, name
