"""The oracle: a small classifier that judges whether an image shows the class it should.

It sees only clean-labelled renders that are in no other split, shares no weights with the models
it judges, and uses GroupNorm, so that its answer does not depend on the rest of a batch. A part of
its training images is softened and noisy: it is to judge what an image shows, not how sharp it is.
"""

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.core.files import atomic_file
from bench.miniworld.pool import split_arrays
from bench.miniworld.render import CLASSES
from bench.miniworld.training.clip import augmented
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import (
    Training,
    half_precision,
    run,
    set_rate,
    step_generator,
    warm_cosine,
)
from bench.miniworld.training.vae import as_signed

ORACLE_FILE = "oracle.safetensors"
WARM_STEPS = 300
LABEL_SMOOTHING = 0.05
LARGEST_NOISE = 0.1
"""Standard deviation, on a scale from -1 to 1."""
DOMAINS = tuple(CLASSES)
CLASSES_PER_DOMAIN = len(CLASSES[DOMAINS[0]])


class Oracle(nn.Module):
    """A residual network over 32-pixel images with one answer per class of every domain.

    The last layer reads the 4 x 4 grid place by place: what tells two cars apart is where the
    parts of their outline are, which a mean over the grid would lose.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 5, padding=2)
        self.blocks = nn.Sequential(Block(24, 48), Block(48, 96), Block(96, 160))
        self.dropout = nn.Dropout(0.4)
        self.head = nn.Linear(160 * 4 * 4, len(DOMAINS) * CLASSES_PER_DOMAIN)

    def features(self, images: Tensor) -> Tensor:
        """Return float32 [n, 2560] for float32 images [n, 3, 32, 32] from -1 to 1."""
        grid: Tensor = self.blocks(self.stem(images))
        return grid.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [n, domains x classes]."""
        logits: Tensor = self.head(self.dropout(self.features(images)))
        return logits


class Block(nn.Module):
    """Two convolutions with a way around them; halves height and width."""

    def __init__(self, wide_in: int, wide_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(wide_in, wide_out, 3, 2, 1)
        self.first_norm = nn.GroupNorm(8, wide_out)
        self.second = nn.Conv2d(wide_out, wide_out, 3, 1, 1)
        self.second_norm = nn.GroupNorm(8, wide_out)
        self.around = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(wide_in, wide_out, 1))

    def forward(self, grid: Tensor) -> Tensor:
        """Return [n, wide_out, height / 2, width / 2]."""
        inner = F.relu(self.first_norm(self.first(grid)))
        return F.relu(self.second_norm(self.second(inner)) + self.around(grid))


def train_oracle(work: Path, recipe: Recipe) -> None:
    """Train the oracle and write `work/oracle.safetensors`; do nothing if that is there.

    Args:
        work: Takes the file, the checkpoints and the curves.
        recipe: How long and how fast.
    """
    if (work / ORACLE_FILE).exists():
        return
    torch.manual_seed(recipe.seed)
    images, labels = labelled("oracle")
    held_images, held_labels = labelled("val")
    oracle = Oracle()
    optimiser = torch.optim.AdamW(oracle.parameters(), weight_decay=0.05)

    def take_step(step: int) -> Tensor:
        rate = recipe.oracle_rate * warm_cosine(step, recipe.oracle_steps, WARM_STEPS)
        set_rate(optimiser, rate)
        generator = step_generator(recipe.seed, step)
        chosen = torch.randint(0, len(images), (recipe.oracle_batch,), generator=generator)
        batch = as_signed(augmented(images[chosen], generator)).permute(0, 3, 1, 2)
        batch = _softened(batch, generator)
        oracle.train()
        torch.manual_seed(recipe.seed + step)  # dropout samples from the global generator
        with half_precision():
            logits = oracle(batch)
        loss = F.cross_entropy(logits.float(), labels[chosen], label_smoothing=LABEL_SMOOTHING)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss

    def validation_figures() -> dict[str, float]:
        oracle.eval()
        right = class_logits(oracle, held_images).argmax(1) == held_labels
        return {"validation_accuracy": right.float().mean().item()}

    training = Training(
        name="oracle-training",
        steps=recipe.oracle_steps,
        state={"model": oracle, "optimiser": optimiser},
        take_step=take_step,
        evaluate=validation_figures,
        evaluate_every=250,
    )
    run(training, work)
    with atomic_file(work / ORACLE_FILE) as partial:
        save_file({name: value.half() for name, value in oracle.state_dict().items()}, partial)


def _softened(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images [n, 3, height, width] that lost a random share of their finest detail."""
    blurred = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
    share, noise = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    grain = torch.randn(images.shape, generator=generator)
    softened: Tensor = images.lerp(blurred, share) + LARGEST_NOISE * noise * grain
    return softened


def load_oracle(file: Path) -> Oracle:
    """Return the trained oracle of a weights file, in float32."""
    oracle = Oracle()
    weights = {name: value.float() for name, value in load_file(file).items()}
    oracle.load_state_dict(weights)
    return oracle.eval()


def labelled(split: str) -> tuple[Tensor, Tensor]:
    """Return a split of all domains: uint8 [n, 32, 32, 3] and labels over all classes."""
    parts = [split_arrays(domain, split) for domain in DOMAINS]
    images = np.concatenate([part[0] for part in parts])
    labels = [part[1] + index * CLASSES_PER_DOMAIN for index, part in enumerate(parts)]
    return torch.from_numpy(images), torch.from_numpy(np.concatenate(labels))


@torch.no_grad()
def class_logits(oracle: Oracle, images: Tensor) -> Tensor:
    """Return the oracle's logits for uint8 images [n, 32, 32, 3], all classes of all domains."""
    batches = [as_signed(batch).permute(0, 3, 1, 2) for batch in torch.split(images, 500)]
    return torch.cat([oracle(batch) for batch in batches])


def with_refitted_head(oracle: Oracle, images: Tensor, labels: Tensor) -> Oracle:
    """Return an oracle of the same features whose last layer is fitted to other images.

    Args:
        oracle: The oracle to start from; it stays as it is.
        images: uint8 [n, 32, 32, 3].
        labels: int64 [n], over all classes of all domains.
    """
    batches = [as_signed(batch).permute(0, 3, 1, 2) for batch in torch.split(images, 500)]
    with torch.no_grad():
        features = torch.cat([oracle.features(batch) for batch in batches])
    refitted = copy.deepcopy(oracle)
    optimiser = torch.optim.LBFGS(refitted.head.parameters(), max_iter=100)

    def penalised_loss() -> Tensor:
        optimiser.zero_grad()
        penalty = 1e-4 * refitted.head.weight.square().sum()
        loss = F.cross_entropy(refitted.head(features), labels) + penalty
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(penalised_loss)  # type: ignore[no-untyped-call]
    return refitted
