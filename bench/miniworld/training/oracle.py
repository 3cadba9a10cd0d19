"""The oracle: a small classifier that judges whether an image shows the class it should.

It sees only clean-labelled renders that are in no other split, shares no weights with the models
it judges, and uses GroupNorm, so that its answer does not depend on the rest of a batch. A part of
its training images is softened and noisy: it is to judge what an image shows, not how sharp it is.
"""

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.core.files import atomic_file
from bench.miniworld.pool import map_in_processes, render_of, split_seeds
from bench.miniworld.render import CLASSES
from bench.miniworld.training.clip import augmented
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import (
    CPU,
    Training,
    half_precision,
    run,
    set_rate,
    step_generator,
    warm_cosine,
)
from bench.miniworld.training.vae import as_signed

ORACLE_FILE = "oracle.safetensors"
RENDERS_FILE = "oracle-images.npy"
"""The renders that the oracle is trained on."""
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


def train_oracle(work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
    """Train the oracle and write `work/oracle.safetensors`; do nothing if that is there.

    Args:
        work: Holds `oracle-images.npy`; takes the file, the checkpoints and the curves.
        recipe: How long and how fast.
        device: Where.
    """
    if (work / ORACLE_FILE).exists():
        return
    step = OracleStep(work, recipe, device)
    run(step.training(), work)
    weights = {name: value.half().cpu() for name, value in step.oracle.state_dict().items()}
    with atomic_file(work / ORACLE_FILE) as partial:
        save_file(weights, partial)


class OracleStep:
    """The oracle, its optimiser and the renders; a call does one step."""

    def __init__(self, work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
        torch.manual_seed(recipe.seed)
        images = torch.from_numpy(np.load(work / RENDERS_FILE))
        self._images, self._labels = images.to(device), _labels(len(images)).to(device)
        self._held_images, self._held_labels = labelled("val")
        self._recipe, self._device = recipe, device
        self.oracle = Oracle().to(device)
        self.optimiser = torch.optim.AdamW(self.oracle.parameters(), weight_decay=0.05)

    def training(self) -> Training:
        """Return what the loop needs to know."""
        return Training(
            name="oracle-training",
            steps=self._recipe.oracle_steps,
            state={"model": self.oracle, "optimiser": self.optimiser},
            take_step=self,
            evaluate=self.validation_figures,
            evaluate_every=250,
            device=self._device,
        )

    def __call__(self, step: int) -> Tensor:
        """Do one step; return the loss of its batch."""
        recipe, device = self._recipe, self._device
        rate = recipe.oracle_rate * warm_cosine(step, recipe.oracle_steps, WARM_STEPS)
        set_rate(self.optimiser, rate)
        generator = step_generator(recipe.seed, step, device=device)
        size, count = (recipe.oracle_batch,), len(self._images)
        chosen = torch.randint(0, count, size, generator=generator, device=device)
        batch = as_signed(augmented(self._images[chosen], generator)).permute(0, 3, 1, 2)
        batch = _softened(batch, generator)
        self.oracle.train()
        torch.manual_seed(recipe.seed + step)  # dropout samples from the global generator
        with half_precision(device):
            logits = self.oracle(batch)
        wanted = self._labels[chosen]
        loss = F.cross_entropy(logits.float(), wanted, label_smoothing=LABEL_SMOOTHING)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss

    def validation_figures(self) -> dict[str, float]:
        """Return the accuracy on the tasks' validation images."""
        self.oracle.eval()
        right = class_logits(self.oracle, self._held_images).argmax(1) == self._held_labels
        return {"validation_accuracy": right.float().mean().item()}


def _softened(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images [n, 3, height, width] that lost a random share of their finest detail."""
    blurred = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
    device = images.device
    share, noise = torch.rand(2, len(images), 1, 1, 1, generator=generator, device=device)
    grain = torch.randn(images.shape, generator=generator, device=device)
    softened: Tensor = images.lerp(blurred, share) + LARGEST_NOISE * noise * grain
    return softened


def load_oracle(file: Path) -> Oracle:
    """Return the trained oracle of a weights file, in float32."""
    oracle = Oracle()
    weights = {name: value.float() for name, value in load_file(file).items()}
    oracle.load_state_dict(weights)
    return oracle.eval()


def labelled(split: str, *, count: int | None = None, processes: int = 1) -> tuple[Tensor, Tensor]:
    """Return a split of all domains: uint8 [n, 32, 32, 3] and labels over all classes.

    Args:
        split: One of `SPLITS`.
        count: Images of each class; None for as many as the split has. More have the seeds that
            follow, so the seeds of another split must be far.
        processes: How many render; see `map_in_processes`.
    """
    first = split_seeds(split).start
    seeds = range(first, first + (count or len(split_seeds(split))))
    rows = [
        (domain, name, seed) for domain in DOMAINS for name in CLASSES[domain] for seed in seeds
    ]
    images = torch.from_numpy(np.stack(map_in_processes(render_of, rows, processes)))
    return images, _labels(len(images))


def _labels(count: int) -> Tensor:
    """Return the labels of so many images, as many of each class, class after class."""
    classes = len(DOMAINS) * CLASSES_PER_DOMAIN
    return torch.arange(classes).repeat_interleave(count // classes)


@torch.no_grad()
def class_logits(oracle: Oracle, images: Tensor) -> Tensor:
    """Return the oracle's logits for uint8 images [n, 32, 32, 3], all classes of all domains.

    Images and logits are on the CPU, wherever the oracle is.
    """
    return torch.cat([oracle(batch).cpu() for batch in _batches(oracle, images)])


def with_refitted_head(oracle: Oracle, images: Tensor, labels: Tensor) -> Oracle:
    """Return an oracle of the same features whose last layer is fitted to other images.

    Args:
        oracle: The oracle to start from; it stays as it is.
        images: uint8 [n, 32, 32, 3].
        labels: int64 [n], over all classes of all domains.
    """
    with torch.no_grad():
        features = torch.cat([oracle.features(batch) for batch in _batches(oracle, images)])
    labels = labels.to(features.device)
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


def _batches(oracle: Oracle, images: Tensor) -> Iterator[Tensor]:
    """Yield images as the oracle takes them, 500 at a time, where it is."""
    for batch in torch.split(images, 500):
        yield as_signed(batch.to(oracle.head.weight.device)).permute(0, 3, 1, 2)
