"""Speed of the real training loop against forward and backward on tensors already in memory.

Usage: python tests/benchmarks/perf_train.py [--tower ViT-B-16] [--images 1280] [--batch 32]
           [--epochs 10] [--workers 0] [--precision fp32] [--turns 2] [--busy]

The tower has random weights; `miniature` is the miniature world's, at 32 pixels and PNG, others get
JPEGs of 256 pixels, and want fewer images and epochs. The loop reads tars, decodes, augments,
steps, and writes its checkpoints.
On a machine that does other work too, `--busy` counts this process's processor seconds instead of
the clock's.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import open_clip
import torch
from torch.nn import functional

from adapt.data import TrainingImages
from adapt.finetune import finetune
from adapt.models import Classifier, load_clip
from adapt.objectives.ce import CrossEntropy
from adapt.optimise import make_optimiser
from adapt.training import Validation
from adapt.views.augment import Augment
from bench.core.config import Config
from bench.core.progress import Progress
from bench.core.specs import TrainSpec
from bench.plugins.objective import ConfiguredObjective
from tests.support.noise_images import write_pictures

Clock = Callable[[], float]


def classifier(name: str) -> tuple[Classifier, int]:
    """Return a classifier of three classes, and its image size."""
    torch.manual_seed(0)
    if name == "miniature":
        visual = load_clip(Path("bench/miniworld/weights/clip")).model.visual
    else:
        visual = open_clip.create_model(name).visual.to(memory_format=torch.channels_last)
    head = functional.normalize(torch.randn(3, visual.output_dim), dim=1) * 100
    size = visual.image_size
    return Classifier(visual, head), size if isinstance(size, int) else size[0]


def floor(name: str, spec: TrainSpec, count: int, clock: Clock) -> float:
    """Return images per second of forward, backward and step on one batch in memory."""
    model, size = classifier(name)
    model.train()
    optimiser = make_optimiser(model, spec)
    pixels = torch.randn(spec.batch_size, 3, size, size)
    labels = torch.arange(spec.batch_size) % 3
    steps = spec.epochs * -(-count // spec.batch_size)
    half = torch.autocast("cpu", torch.bfloat16) if spec.precision == "bf16" else nullcontext()
    start = clock()
    for step in range(steps + 1):
        if step == 1:  # The first warms caches and allocators.
            start = clock()
        with half:
            loss = functional.cross_entropy(model(pixels), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
    return steps * spec.batch_size / (clock() - start)


def loop(name: str, spec: TrainSpec, count: int, folder: Path, clock: Clock) -> float:
    """Return images per second of the real loop, all in."""
    model, size = classifier(name)
    stored, suffix = (size, ".png") if name == "miniature" else (256, ".jpg")
    image_set = write_pictures(folder / "data", count, stored, suffix)
    start = clock()
    rows = image_set.select(None, 0, "random")
    transform = open_clip.image_transform(size, is_train=True)
    images = TrainingImages(image_set.data, rows, [Augment.of(transform)], seed=0)
    finetune(
        model,
        images,
        ConfiguredObjective(CrossEntropy, Config()),
        spec,
        folder=folder / "run",
        validate=lambda *_: Validation(0.0),
        progress=Progress(quiet=True),
    )
    return spec.epochs * count / (clock() - start)


def main() -> None:
    """Measure both by turns and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tower", default="miniature")
    parser.add_argument("--precision", default="fp32")
    for option, default in (("images", 1280), ("batch", 32), ("epochs", 10), ("workers", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--busy", action="store_true")
    given = parser.parse_args()
    clock = time.process_time if given.busy else time.perf_counter
    spec = TrainSpec(
        epochs=given.epochs,
        batch_size=given.batch,
        workers=given.workers,
        precision=given.precision,
    )
    print(f"{torch.get_num_threads()} threads, {given.tower}, {given.precision}")
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.turns):
            bottom = floor(given.tower, spec, given.images, clock)
            whole = loop(given.tower, spec, given.images, Path(folder) / str(turn), clock)
            ratio = whole / bottom
            print(f"floor {bottom:.2f} images/s, loop {whole:.2f}, ratio {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
