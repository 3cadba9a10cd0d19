"""Measure CLIP: unadapted, its convergence, and what fine-tuning does to it."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from adapt.models import Classifier, load_clip
from adapt.optimise import learning_rate, make_optimiser, set_learning_rate
from bench.core.json_values import digest
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec, TrainSpec
from bench.core.weights_folder import CLIP_WEIGHTS
from bench.miniworld.pool import IMAGE_SIZE
from bench.miniworld.training.clip import LARGEST_LOGIT_SCALE, ClipStep, augmented
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import step_generator
from bench.miniworld_checks.gates import EVALUATORS, Measurements
from bench.miniworld_checks.pairs import build_once
from bench.planning.preset import resolve
from bench.run import run
from bench.steps.prepare import with_fingerprints
from bench.tasks import find_task

LARGEST_N = 5120
"""The largest number of images in studies/mini-full.yaml."""
LAST_SHARE = 0.25
SEED = 1
"""Another than the recipe's, so that the control sees other batches than the training did."""


def accuracies(
    spec: RunSpec, home: Home, progress: Progress, split: str = "val"
) -> dict[str, float]:
    """Return a run's accuracies on a split, by evaluator.

    Args:
        spec: The run.
        home: Where the run is kept; a finished one is not done again.
        progress: Where to report.
        split: ``val`` or ``test``.
    """
    record = run(with_fingerprints(spec, home), home, progress)
    return {
        score.evaluator: round(score.value, 4)
        for score in record.scores_at("chosen")
        if score.evaluator in EVALUATORS and (score.split, score.metric) == (split, "accuracy")
    }


def convergence(curve: Sequence[Mapping[str, Any]]) -> Measurements | None:
    """Return how much CLIP's validation loss falls over the last quarter of its steps.

    Args:
        curve: Lines as `read_curve` returns them.

    Returns:
        `fall`, a share of the earlier loss, and the steps and losses it is taken from; None where
        the curve has no two losses to compare.
    """
    losses = {
        line["step"]: line["validation_loss"]
        for line in curve
        if line["model"] == "clip-training" and "validation_loss" in line
    }
    last = max(losses, default=0)
    earlier = [step for step in losses if step <= (1 - LAST_SHARE) * last]
    if not earlier:
        return None
    first = max(earlier)
    return {
        "fall": round(1 - losses[last] / losses[first], 5),
        "steps": [first, last],
        "losses": [losses[first], losses[last]],
    }


def unadapted_spec(domain: str, clip: str) -> RunSpec:
    """Return the spec of the unadapted model's run, which every study has as its baseline."""
    return resolve("mini", task=domain, source="none", n=None, settings={"model": clip})


def clean_spec(domain: str, clip: str, n: int) -> RunSpec:
    """Return the spec of a run on n clean renders."""
    return resolve("mini", task=domain, source="rendered", n=n, settings={"model": clip})


def control_weights(work: Path, clip: Path, train: TrainSpec, n: int, batch: int) -> Path:
    """Train CLIP on random pairs for as many steps as the longest fine-tuning, once.

    Steps, warm-up and decay are those of fine-tuning, and batch statistics are frozen as
    there; the loss is that of CLIP's own training.

    Args:
        work: What `prepared_pairs` returned; the weights are kept in it.
        clip: The weights to start from.
        train: How studies fine-tune.
        n: The images of the longest fine-tuning.
        batch: Pairs a step, each told apart from all the others.

    Returns:
        A folder in open_clip's ``local-dir`` layout.
    """
    steps = math.ceil(n / train.batch_size) * train.epochs

    def make(folder: Path) -> None:
        step = ControlStep(work, clip, train, steps, batch)
        for number in range(steps):
            step(number)
        shutil.copytree(clip, folder, dirs_exist_ok=True)
        weights = {
            # As the shipped weights are kept, so that nothing but the training differs.
            name: (value.half() if value.is_floating_point() else value).contiguous()
            for name, value in step.model.state_dict().items()
        }
        save_file(weights, folder / CLIP_WEIGHTS, metadata={"format": "pt"})

    return build_once(work / f"control-{digest([train, steps, SEED, batch])}", make)


class ControlStep(ClipStep):
    """CLIP's own training, continued from finished weights in the manner of fine-tuning."""

    def __init__(self, work: Path, clip: Path, train: TrainSpec, steps: int, batch: int) -> None:
        super().__init__(load_clip(clip).model.requires_grad_(True), steps, work, Recipe())
        self.optimiser = make_optimiser(self.model, train)
        self._train, self._batch = train, batch

    def __call__(self, step: int) -> Tensor:
        """Do one step on random pairs; return the contrastive loss of its batch."""
        set_learning_rate(self.optimiser, learning_rate(self._train, step, self._steps))
        generator = step_generator(SEED, step)
        chosen = torch.randint(len(self._images), (self._batch,), generator=generator)
        # The model stays in evaluation mode: it has no dropout, and its statistics are frozen.
        loss = self._loss(augmented(self._images[chosen], generator), self._tokens[chosen])
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self._train.clip_norm)
        self.optimiser.step()
        with torch.no_grad():
            self.model.get_parameter("logit_scale").clamp_(0.0, LARGEST_LOGIT_SCALE)
        return loss


def measure_batch_norm(clip: Path, spec: RunSpec) -> dict[str, int]:
    """Return what one step of fine-tuning does to batch norm.

    Args:
        clip: The weights.
        spec: A run of the preset: its task and training are used.

    Returns:
        `layers`, how many there are; `training`, how many of them are in training mode;
        `changed`, how many running statistics the step changed.
    """
    model = load_clip(clip)
    classifier = Classifier.from_clip(model, find_task(spec.task)).train()
    optimiser = make_optimiser(classifier, spec.train)
    set_learning_rate(optimiser, spec.train.lr)
    before = {name: value.clone() for name, value in classifier.named_buffers()}
    rng = np.random.default_rng(SEED)
    noise = rng.integers(0, 256, (spec.train.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    images = torch.stack([model.preprocess_val(Image.fromarray(pixels)) for pixels in noise])
    labels = torch.from_numpy(rng.integers(0, classifier.head.out_features, len(images)))
    functional.cross_entropy(classifier(images), labels).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    norms = [
        module
        for module in classifier.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    return {
        "layers": len(norms),
        "training": sum(module.training for module in norms),
        "changed": sum(
            not torch.equal(before[name], value) for name, value in classifier.named_buffers()
        ),
    }
