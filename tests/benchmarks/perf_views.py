"""SynCLR's step in the training loop against its bare forward and backward passes.

Usage: python -m tests.benchmarks.perf_views [--tower miniature] [--batch 64] [--steps 60]
           [--workers 0] [--crops 4] [--busy]

Both have the same tower, heads, teacher, views and loss; the bare one gets ready tensors, and takes
no step. The loop reads, makes the views, steps, and moves the teacher. They take turns step by
step, so that what else the machine does falls on both; medians. `miniature` is a ViT of 32 pixels,
patches of 8, width 64 and depth 2, others are open_clip's with JPEGs of 256 pixels, and want
smaller batches and fewer steps. `--busy` counts this process's processor seconds instead of the
clock's, which leaves the workers out. Aim: 0.9 of the bare passes' images/s.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch.nn import functional

from adapt.data import TrainingImages, load
from adapt.models import Classifier
from adapt.train_step import TrainStep
from adapt.views.augment import Augment
from adapt.views.masks import PatchMasks, patch_grid, patch_size
from bench.core.specs import TrainSpec
from bench.plugins import Start, objective_of
from bench.plugins.objective import ConfiguredObjective
from bench.runtime.threads import sleep_at_barriers
from tests.benchmarks.perf_step import IMAGES, batches
from tests.support.noise_images import write_pictures

SMALL = {"hidden": 256, "out": 64, "prototypes": 256, "token_hidden": 128, "token_out": 64}
"""Heads that suit the miniature tower."""


def started(tower: str, configured: ConfiguredObjective) -> Any:
    """Return SynCLR with new weights, the same in every call."""
    torch.manual_seed(0)
    if tower == "miniature":
        vision = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32}
        text = {"width": 32, "heads": 2, "layers": 1, "vocab_size": 64, "context_length": 8}
        visual = open_clip.CLIP(64, vision, text).visual
    else:
        visual = open_clip.create_model(tower).visual
    visual = visual.to(memory_format=torch.channels_last)
    head = functional.normalize(torch.randn(3, visual.output_dim), dim=1)
    objective: Any = configured.start(Start(Classifier(visual, head, trained=False), 1000))
    return objective.train()


def measure(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of each part of a step."""
    miniature = given.tower == "miniature"
    options = {**(SMALL if miniature else {}), "local_crops": given.crops, "per_group": 4}
    configured = objective_of("synclr", options)
    ours, bare = (started(given.tower, configured) for _ in range(2))
    spec = TrainSpec(batch_size=given.batch, lr=1e-4, workers=given.workers)
    train_step = TrainStep(ours, spec, print, coupled=True)
    visual, needs = bare.model.visual, configured.needs
    size, patch = visual.image_size[0], patch_size(visual) or (1, 1)
    pictures = (32, ".png") if miniature else (256, ".jpg")
    image_set = write_pictures(folder / "data", IMAGES, *pictures, distinct=128)
    transform = open_clip.image_transform(size, is_train=True)
    images = TrainingImages(
        image_set.data,
        image_set.select(None, 0, "random"),
        [Augment.of(transform, view=view, patch=patch) for view in needs.views],
        0,
        groups=[row // 4 for row in range(IMAGES)],
        masks=PatchMasks(needs.masks, patch_grid(visual)) if needs.masks else None,
    )
    loaded = load(images, lambda: batches(given.batch), given.workers, torch.device("cpu"))
    ready = images.normalise(next(loaded)[1])
    clock = time.process_time if given.busy else time.perf_counter
    times: dict[str, list[float]] = defaultdict(list)
    last = clock()

    def note(name: str) -> None:
        nonlocal last
        now = clock()
        times[name].append(now - last)
        last = clock()

    for step in range(given.steps):
        note("other")
        share, batch = next(loaded)
        note("load and views")
        normal = images.normalise(batch)
        note("normalise")
        train_step.backward(share, normal, step)
        note("passes")
        train_step.update(step, spec.lr, spec.weight_decay)
        note("update")
        bare.loss(bare.encode(ready, step), ready, step)["loss"].backward()
        bare.zero_grad()
        note("bare passes")
    del times["other"]
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    """Measure, and print the parts and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tower", default="miniature")
    for option, default in (("batch", 64), ("steps", 60), ("workers", 0), ("crops", 4)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--busy", action="store_true")
    given = parser.parse_args()
    sleep_at_barriers()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        medians = measure(Path(folder), given)
    print(", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in medians.items()))
    bare = medians.pop("bare passes")
    whole = sum(medians.values())
    print(f"bare {given.batch / bare:.3g} images/s, loop {given.batch / whole:.3g}", end=", ")
    print(f"ratio {bare / whole:.3f}; without the update {bare / (whole - medians['update']):.3f}")


if __name__ == "__main__":
    main()
