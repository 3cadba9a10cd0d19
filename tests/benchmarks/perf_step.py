"""Parts of the miniature CLIP's training step, and the step against bare forward and backward.

Usage: python -m tests.benchmarks.perf_step [--batch 32] [--steps 120]

The parts take turns within each step, so that what else the machine does falls on all alike;
medians of processor seconds. `tests/benchmarks/perf_train.py` has the whole loop, reading and
checkpoints included.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import open_clip
import torch
from torch.nn import functional

from adapt.batches.order import SampledImage
from adapt.batches.ranks import RankBatch
from adapt.data import TrainingImages, load
from adapt.optimise import make_optimiser
from adapt.train_step import TrainStep
from adapt.views.augment import Augment
from bench.core.specs import TrainSpec
from bench.plugins.objective import View
from tests.benchmarks.perf_train import classifier
from tests.support.noise_images import write_pictures
from tests.support.plain_step import cross_entropy

IMAGES = 1280


def batches(size: int) -> Iterator[RankBatch]:
    """Yield batches without end."""
    first = 0
    while True:
        samples = [SampledImage(*divmod(place, IMAGES)) for place in range(first, first + size)]
        yield RankBatch(samples, size)
        first += size


def measure(folder: Path, spec: TrainSpec, steps: int) -> dict[str, float]:
    """Return milliseconds of each part of a step."""
    (bare, size), (model, _) = classifier("miniature"), classifier("miniature")
    bare.train(), model.train()
    optimiser = make_optimiser(bare, spec)
    train_step = TrainStep(cross_entropy(model), spec, print)
    image_set = write_pictures(folder / "data", IMAGES, size, ".png")
    rows = image_set.select(None, 0, "random")
    transform = open_clip.image_transform(size, is_train=True)
    augment = Augment.of(transform)
    views = [View(name=name, area=(0.08, 1), recipe="simclr") for name in ("one", "two")]
    strong = [Augment.of(transform, view=view) for view in views]
    one_by_one, images, two_views = (
        TrainingImages(image_set.data, rows, augments, 0)
        for augments in ([replace(augment, small=None)], [augment], strong)
    )
    alone, together, two = (
        load(each, lambda: batches(spec.batch_size), 0, torch.device("cpu"))
        for each in (one_by_one, images, two_views)
    )
    pixels, labels = torch.randn(spec.batch_size, 3, size, size), torch.arange(spec.batch_size) % 3
    times: dict[str, list[float]] = defaultdict(list)
    last = time.process_time()

    def note(name: str) -> None:
        nonlocal last
        now = time.process_time()
        times[name].append(1000 * (now - last))
        last = time.process_time()

    for step in range(steps):
        note("other")
        next(alone)
        note("augment, by Pillow")
        next(two)
        note("two views of simclr")
        share, batch = next(together)
        note("augment")
        normal = images.normalise(batch)
        note("normalise")
        train_step.backward(share, normal, step)
        train_step.update(step, spec.lr, spec.weight_decay)
        note("step")
        functional.cross_entropy(bare(pixels), labels).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(bare.parameters(), spec.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
        note("bare step")
    return {name: statistics.median(values[5:]) for name, values in times.items()}


def main() -> None:
    """Measure, and print the parts and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=120)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        medians = measure(Path(folder), TrainSpec(batch_size=given.batch, lr=1e-4), given.steps)
    del medians["other"]
    print(", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in medians.items()))
    rest = medians["normalise"] + medians["step"]
    for name in ("augment, by Pillow", "augment", "two views of simclr"):
        whole = medians[name] + rest
        print(f"{name}: {medians[name] / whole:.3f} of a step, ", end="")
        print(f"ratio to the bare step {medians['bare step'] / whole:.3f}")


if __name__ == "__main__":
    main()
