"""What a generation will cost, from the measured speed of a few batches; nothing is written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from bench.core.json_values import Json
from sources.generation.generate import Generator
from sources.generation.options import GeneratorOptions
from sources.generation.sampler import Frame, Item
from sources.generation.shard import attempt_seed

SHORT, LONG = 4, 8
"""Steps of the timed batches. Their difference gives the time of a step, what remains that of all
else; a sampler of no more than `LONG` steps is timed as it is."""


@dataclass(frozen=True)
class Workload:
    """What is to be generated.

    Attributes:
        images: How many.
        steps: Steps of the sampler for each.
        prompts: Texts like the captions that there will be.
        image: Something like what the images start from; None for noise.
        strength: Of the noise laid over it; so many of the steps are done.
    """

    images: int
    steps: int
    prompts: Sequence[str]
    image: Image.Image | None = None
    strength: float = 1.0

    @property
    def done(self) -> int:
        """Steps that are done for each."""
        return int(self.steps * self.strength)


def estimate(generator: Generator, options: GeneratorOptions, work: Workload) -> Json:
    """Return what generating will cost on one worker like this one.

    Args:
        generator: The loaded model.
        options: How it samples.
        work: What is to be generated.

    Returns:
        ``images``; ``forwards`` of the denoiser, one per image, step and prompt; ``seconds per
        image``, ``hours`` and ``bytes``.
    """
    timer = _Timer(generator, options, work)
    timer.seconds(min(LONG, work.done))  # Warm-up: caches, allocators, compilation.
    whole = timer.seconds(min(LONG, work.done))
    if work.done > LONG:
        per_step = max(0.0, whole - timer.seconds(SHORT)) / (LONG - SHORT)
        whole += per_step * (work.done - LONG)
    seconds = whole / options.batch_size
    return {
        "images": work.images,
        "forwards": round(work.images * work.done * timer.forwards_per_step),
        "seconds per image": round(seconds, 4),
        "hours": round(work.images * seconds / 3600, 4),
        "bytes": round(work.images * timer.bytes_per_image),
    }


class _Timer:
    """Generates batches and notes what they take."""

    def __init__(self, generator: Generator, options: GeneratorOptions, work: Workload) -> None:
        self._sampler = generator.sampler
        self._images = generator.images
        prompts = [work.prompts[i % len(work.prompts)] for i in range(options.batch_size)]
        self._work = work
        self._items = [Item(text, attempt_seed(i, 0), work.image) for i, text in enumerate(prompts)]
        self.forwards_per_step = 0.0
        self.bytes_per_image = 0.0

    def seconds(self, done: int) -> float:
        """Return how long a batch takes in which so many steps are done, encoding included."""
        work, evaluated = self._work, 0
        steps = work.steps if done == work.done else round(done / work.strength)

        def count(_: object, given: tuple[Any, ...], named: dict[str, Any], __: object) -> None:
            nonlocal evaluated
            evaluated += len(next(iter((*given, *named.values()))))

        pipeline = self._sampler.pipeline
        denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
        hook = denoiser.register_forward_hook(count, with_kwargs=True)
        start = time.perf_counter()
        frames = self._sampler.finish(self._sampler.denoise(self._items, steps))
        sizes = [len(self._encoded(frame)) for frame in frames]
        taken = time.perf_counter() - start
        hook.remove()
        self.forwards_per_step = evaluated / len(frames) / done
        self.bytes_per_image = sum(sizes) / len(sizes)
        return taken

    def _encoded(self, frame: Frame) -> bytes:
        images = self._images
        pixels = (np.nan_to_num(frame) * 255).round().astype(np.uint8)
        return images.encoded(images.fitted(Image.fromarray(pixels)))
