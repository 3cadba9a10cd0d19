"""Fine-tuning of ViT-B/16: is it right on this device, and how fast are its step and its loop?

Seconds of the budget, reckoned for an H100 from 2,500 images a second in bf16 (not measured):
imports 10, losses 25 (20 steps on 16 cores), formats 20, the loop 30, resumed trainings 12, and 10
for the rest. What is compiled is a part of its own.
"""

import gc
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import open_clip
import torch
from msgspec.structs import replace
from torch import Tensor

from adapt import save_policy
from adapt.batches.order import BatchSchedule
from adapt.batches.ranks import RankBatch
from adapt.data import TrainingImages, load
from adapt.finetune import Adapted, finetune
from adapt.models import Classifier
from adapt.objectives.ce import CrossEntropy
from adapt.precision import check_precision
from adapt.train_step import TrainStep
from adapt.training import Validation
from adapt.views.augment import Augment
from bench.core.errors import RequestError
from bench.core.progress import Progress
from bench.core.specs import TrainSpec
from bench.plugins import Config, Start
from bench.plugins.objective import ConfiguredObjective
from bench.runtime.float32 import float32_products
from tests.gpu.measure import Check, Figure, Machine, Note, Result
from tests.gpu.training import BareStep, Networks, Size, batches, repeated, size_for
from tests.support.noise_images import write_pictures
from tests.support.observed import Encoded, Observer
from tests.support.plain_step import batch_of, cross_entropy
from tests.support.short_memory import ShortMemory

SPEC = TrainSpec(warmup_steps=0)
"""The paper's, without the warm-up, in which 20 steps would hardly move."""

LIMITS = {"fp32": 1e-4, "tf32": 1e-3, "bf16": 1e-2}
"""How much a loss may differ from float32 on a CPU, of itself."""

TURNS = 3


def run(machine: Machine) -> Iterator[Result]:
    """Check losses, a resumed training and short memory; measure steps, decoding and the loop."""
    # Deterministic products need it before the first one.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    size = size_for(machine)
    networks = Networks(size, machine.device)
    yield from losses(machine, size, networks)
    yield from short_memory(machine, size, networks)
    yield from unawaited(machine, size, networks)
    steps = Steps(machine, size, networks)
    yield from steps.formats()
    yield from loop(machine, size, networks, steps)
    yield from resumed(machine, size)
    yield from steps.deterministic()


def supported(machine: Machine) -> list[str]:
    """Return the precisions that the device trains in."""
    found = []
    for precision in LIMITS:
        try:
            check_precision(precision, machine.device)
        except RequestError:
            continue
        found.append(precision)
    return found


def losses(machine: Machine, size: Size, networks: Networks) -> Iterator[Result]:
    """Compare the losses of 20 steps with a bare loop's in float32 on the CPU."""
    cpu = torch.device("cpu")
    every = batches(size, 20, size.few, cpu)
    bare = BareStep(networks.make(device=cpu), SPEC)
    expected = torch.stack([bare(*batch) for batch in every])
    for precision in supported(machine):
        spec = replace(SPEC, precision=precision)
        step = TrainStep(cross_entropy(networks.make()), spec, print)
        found: list[Tensor] = []
        with float32_products(tf32=precision == "tf32"):
            for pixels, labels in every:
                share = RankBatch([], len(labels))
                batch = batch_of(pixels.to(machine.device), labels.to(machine.device))
                found.append(step.backward(share, batch, len(found))["loss"])
                step.update(len(found) - 1, spec.lr, spec.weight_decay)
        error = ((torch.stack(found).cpu() - expected).abs() / expected).max().item()
        name = f"losses of 20 steps of {size.few} images, {precision}, against the CPU"
        yield Check(name, error, LIMITS[precision])
    fall = (expected[-1] / expected[0]).item()
    yield Note(f"the CPU's last loss is {fall:.3f} of its first, {expected[0].item():.2f}")


class EndedError(Exception):
    """What ends a training before it is done."""


class Ending(Observer):
    """Cross-entropy that ends the training at some call."""

    def __init__(self, at: int) -> None:
        self._left = at

    def loss(self, encoded: Encoded, labels: Tensor, plain: Tensor) -> Tensor:
        self._left -= 1
        if not self._left:
            raise EndedError
        return plain


def resumed(machine: Machine, size: Size) -> Iterator[Result]:
    """Compare a training of six steps with one that is ended after three and goes on."""
    images = pictures(machine.folder / "few", size, 3 * min(size.batch, 64))
    three_layers = Size(**{**vars(size), "layers": 3})
    networks = Networks(three_layers, machine.device)
    spec = replace(SPEC, epochs=2, batch_size=len(images) // 3, precision="bf16", lr=1e-3)

    def difference(name: str) -> float:
        folder = machine.folder / name
        straight = trained(networks.make(), images, spec, folder / "straight")
        with suppress(EndedError):
            trained(networks.make(), images, spec, folder / "ended", Ending(at=4))
        ended = trained(networks.make(), images, spec, folder / "ended")
        left, right = straight.classifier.state(), ended.classifier.state()
        return max((left[key] - right[key]).abs().max().item() for key in left)

    with every_checkpoint(), deterministic():
        name = "resumed training, deterministic algorithms: weights"
        yield Check(name, difference("deterministic"), 0)
    with every_checkpoint():
        largest = [difference("default")]
    yield Figure("resumed training, default algorithms: weights differ by", "", largest)


@contextmanager
def every_checkpoint() -> Iterator[None]:
    """Save a checkpoint at every look at the losses, as a longer training does now and then."""
    before = save_policy.SAVE_SECONDS, save_policy.SAVE_SHARE
    save_policy.SAVE_SECONDS, save_policy.SAVE_SHARE = 0.0, float("inf")
    try:
        yield
    finally:
        save_policy.SAVE_SECONDS, save_policy.SAVE_SHARE = before


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic algorithms alone."""
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=False)


def pictures(folder: Path, size: Size, count: int) -> TrainingImages:
    """Return training images that are read from JPEGs; beyond 5,461 of 256 pixels, each time."""
    image_set = write_pictures(folder, count, size.stored, ".jpg", distinct=min(count, 64))
    transform = open_clip.image_transform(size.pixels, is_train=True)
    return TrainingImages(image_set.data, image_set.index(), [Augment.of(transform)], seed=0)


def trained(
    model: Classifier,
    images: TrainingImages,
    spec: TrainSpec,
    folder: Path,
    objective: Any = CrossEntropy,
) -> Adapted:
    """Fine-tune a classifier; every epoch is better than the one before."""
    return finetune(
        model,
        images,
        ConfiguredObjective(objective, Config()),
        spec,
        folder=folder,
        validate=lambda _, epoch: Validation(float(epoch)),
        progress=Progress(quiet=True),
    )


def short_memory(machine: Machine, size: Size, networks: Networks) -> Iterator[Result]:
    """Compare a step's loss and gradient with those that a full device leaves room for."""
    count = min(size.batch, 64)
    ((pixels, labels),) = batches(size, 1, count, machine.device)
    share = RankBatch([], count)
    on_cuda = machine.device.type == "cuda"

    def step(kind: Any) -> tuple[float, Tensor, int]:
        model, said = networks.make(), list[str]()
        train_step = TrainStep(kind(Config(), Start(model, 1)), SPEC, said.append)
        with float32_products(tf32=False):
            loss = train_step.backward(share, batch_of(pixels, labels), 0)["loss"].item()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return loss, gradient.cpu(), train_step.micro_batch or count

    if on_cuda:
        torch.cuda.reset_peak_memory_stats(machine.device)
    loss, gradient, _ = step(CrossEntropy)
    # A pretended card has no memory of its own to fill.
    if on_cuda and torch.cuda.max_memory_allocated(machine.device):
        gc.collect()
        limit_memory(machine.device)
        halved = step(CrossEntropy)
        torch.cuda.set_per_process_memory_fraction(1.0)
    else:
        halved = step(ShortMemory(room=count // 2))
    yield Check(f"short memory: of {count} images, in a forward pass", halved[2], count / 2)
    yield Check("short memory: loss, relative", abs(halved[0] / loss - 1), 1e-5)
    error = ((halved[1] - gradient).norm() / gradient.norm()).item()
    yield Check("short memory: gradient, relative", error, 1e-4)


def limit_memory(device: torch.device) -> None:
    """Leave room for 0.7 of the most that was in use."""
    most = torch.cuda.max_memory_allocated(device)
    torch.cuda.empty_cache()
    used = torch.cuda.memory_allocated(device)
    total = torch.cuda.get_device_properties(device).total_memory
    # Of a device without a number, as ours is, it will not hear.
    torch.cuda.set_per_process_memory_fraction((used + 0.7 * (most - used)) / total)


def unawaited(machine: Machine, size: Size, networks: Networks) -> Iterator[Result]:
    """Count how often a step waits for the device."""
    if machine.device.type != "cuda":
        yield Note("whether a step waits for the device is seen with CUDA alone")
        return
    augment = Augment.of(open_clip.image_transform(size.pixels, is_train=True))
    shape = size.few, size.pixels, size.pixels, 3
    pixels = torch.randint(256, shape, dtype=torch.uint8, device=machine.device)
    labels = torch.zeros(size.few, dtype=torch.int64, device=machine.device)
    kept = torch.zeros(2, 2, device=machine.device)
    step = TrainStep(cross_entropy(networks.make()), replace(SPEC, precision="bf16"), print)

    def take(place: int) -> None:
        share = RankBatch([], len(labels))
        batch = batch_of(augment.normalise(pixels), labels)
        kept[0, place] = step.backward(share, batch, place)["loss"]
        kept[1, place] = step.update(place, SPEC.lr, SPEC.weight_decay)

    take(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        take(1)
        torch.cuda.set_sync_debug_mode("default")
    waits = [str(one.message) for one in caught if "called a synchronizing" in str(one.message)]
    yield Check("a step waits for the device, times", len(waits), 0)


class Steps:
    """Steps on a batch in memory.

    Args:
        machine: Where.
        size: The sizes.
        networks: The classifiers.
    """

    def __init__(self, machine: Machine, size: Size, networks: Networks) -> None:
        self._machine, self._size, self._networks = machine, size, networks
        (self._batch,) = batches(size, 1, size.batch, machine.device)
        self._bf16 = replace(SPEC, precision="bf16")

    def formats(self) -> Iterator[Result]:
        """Measure bare steps in each precision, layout and optimiser by turns."""
        machine, size, make = self._machine, self._size, self._networks.make
        yield Note(
            f"steps of {size.batch} images of {size.pixels} pixels, in fp32 and tf32 of a quarter; "
            f"{size.classes} classes"
        )
        works = {
            precision: BareStep(make(), replace(SPEC, precision=precision))
            for precision in supported(machine)
        }
        works["bf16, channels first"] = BareStep(make(channels_last=False), self._bf16)
        works["bf16, AdamW not fused"] = BareStep(make(), self._bf16, fused=False)
        bf16 = works["bf16"]
        # In float32 a whole batch may not fit.
        quarter = tuple(tensor[: size.batch // 4] for tensor in self._batch)
        timed = [
            repeated(step, self._batch, 2) if "bf16" in name else repeated(step, quarter, 8)
            for name, step in works.items()
        ]
        rates = machine.rates(2 * size.batch, *timed, turns=TURNS)
        found = dict(zip(works, rates, strict=True))
        for name, values in found.items():
            floor, of = (found["bf16"], "bf16") if name.startswith("bf16,") else ((), "")
            yield Figure(name, "images/s", values, floor, of)
        yield from self._utilisation(found["bf16"], bf16)

    def _utilisation(self, rates: list[float], step: BareStep) -> Iterator[Result]:
        side = 128 if self._machine.tiny else 8192
        pair = torch.randn(2, side, side, device=self._machine.device).to(torch.bfloat16)
        product = partial(torch.mm, pair[0], pair[1])
        (peak,) = self._machine.rates(2 * side**3 / 1e12, product, turns=TURNS)
        done = [rate * self._size.flops / 1e12 for rate in rates]
        of = f"a product of {side} x {side} matrices"
        yield Figure("bf16, the model's products", "TFLOP/s", done, peak, of)
        yield Note(f"{self._size.flops / 1e9:.2f} GFLOP an image, forward and backward")
        if self._machine.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            step(*self._batch)
            memory = torch.cuda.max_memory_allocated() / 1e9
            yield Figure("bf16, peak memory, several models loaded", "GB", [memory])

    def bare(self) -> list[float]:
        """Return images a second of bare steps in bf16."""
        work = repeated(BareStep(self._networks.make(), self._bf16), self._batch, 4)
        (rates,) = self._machine.rates(4 * self._size.batch, work, turns=TURNS)
        return rates

    def deterministic(self) -> Iterator[Result]:
        """Measure deterministic algorithms against the default ones by turns."""
        step = BareStep(self._networks.make(), self._bf16)
        default = repeated(step, self._batch, 2)

        def work() -> None:
            with deterministic():
                default()

        rates, floor = self._machine.rates(2 * self._size.batch, work, default, turns=TURNS)
        yield Figure("bf16, deterministic algorithms", "images/s", rates, floor, "bf16")


def loop(machine: Machine, size: Size, networks: Networks, steps: Steps) -> Iterator[Result]:
    """Measure the whole loop, by its last epochs, and what its workers can decode.

    Until then, what the workers had prepared before the first step is used up.
    """
    shared = os.statvfs("/dev/shm")
    free = shared.f_bavail * shared.f_frsize
    # Two batches of each worker wait there, in bytes, and one is taken.
    room = int(free / (3 * size.batch * size.pixels**2)) // 2 - 1
    workers = min(2 if machine.tiny else min(machine.cores, 16), room)
    yield Note(f"{workers} decoding workers; /dev/shm has {free / 1e9:.2f} GB for their batches")
    if workers < 1:
        return
    images = pictures(machine.folder / "many", size, size.steps * size.batch)
    spec = TrainSpec(
        epochs=2 * TURNS, batch_size=size.batch, workers=workers, precision="bf16", warmup_steps=0
    )
    alone = [decoded(machine, images, spec) for _ in range(TURNS)]
    yield Figure("decoding workers alone", "images/s", alone)
    history = trained(networks.make(), images, spec, machine.folder / "loop").history[-TURNS:]
    rates = [len(images) / epoch.train_seconds for epoch in history]
    yield Figure("loop, bf16", "images/s", rates, steps.bare(), "bare steps", goal=0.95)


def decoded(machine: Machine, images: TrainingImages, spec: TrainSpec) -> float:
    """Return images a second that workers decode and the device receives, their start included."""
    count = 2 * spec.workers
    schedule = BatchSchedule(spec, images.labels, images.seed)
    samples = list(islice(cycle(schedule.batches(1)), count))
    start = time.perf_counter()
    shares = [RankBatch(batch, len(batch)) for batch in samples]
    done = sum(
        len(batch) for _, batch in load(images, lambda: shares, spec.workers, machine.device)
    )
    machine.synchronise()
    return done / (time.perf_counter() - start)
