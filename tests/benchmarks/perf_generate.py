"""Speed of the generate stage against bare forward passes, and against a plain pipeline call.

Usage: python tests/benchmarks/perf_generate.py [--generator FOLDER] [--images 192] [--batch 16]
       [--steps 20] [--height 32] [--dtype fp32] [--turns 3]
       python tests/benchmarks/perf_generate.py --variants ...

Without a folder the generator is the miniature world's. The stage embeds captions, denoises,
decodes, checks, encodes and writes; loading the weights is not counted. Bare is the UNet with the
same batch (twice the images: with and without the caption) and nothing else; with decoding, its VAE
runs as well. Plain is one pipeline call per caption. ``--variants`` times the UNet alone in each
number format, memory layout and attention, and compiled.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import polars as pl
import torch

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.plugins import writer_of
from bench.plugins.source import Context, Embedder
from bench.storage.image_codec import ImageFormat
from bench.tasks import find_task
from sources.captions.generate import captions
from sources.captions.options import CaptionOptions
from sources.captions.table import caption_rows
from sources.generation.generate import Generator, image_rows
from sources.generation.options import GeneratorOptions
from sources.generation.sampler import DiffusionSampler
from tests.support.bare_diffusion import Bare


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes; on one core, how long that core works at it."""
    clock = time.process_time if alone() else time.perf_counter
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def alone() -> bool:
    """Return whether all is done by one core, so that other programs need not count."""
    return not torch.cuda.is_available() and len(os.sched_getaffinity(0)) == 1


def staged(generator: Generator, rows: pl.DataFrame, context: Context, turn: int) -> None:
    """Run the stage for all rows."""
    stage = context.stage("generate", {"turn": turn})
    generator.generate(stage, rows, context)


def plain(
    sampler: DiffusionSampler, rows: pl.DataFrame, steps: int, height: int, count: int
) -> float:
    """Return the seconds that all rows would take with one pipeline call for each caption."""

    def one(caption: str) -> None:
        sampler.pipeline(
            caption, height=height, width=height, num_inference_steps=steps, guidance_scale=2.5
        )

    one(rows["caption"][0])
    return sum(seconds(partial(one, text)) for text in rows["caption"][:count]) / count


def ratios(options: GeneratorOptions, images: int, turns: int) -> None:
    """Print images per second of each, turn about, and the medians of the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        context = Context(home, find_task("mini-aircraft"), None, 0, _no_embedder, QUIET)
        written = CaptionOptions(
            phrases="mini",
            retries=0,
            block_size=images,
        )
        written_captions = captions(written, 0, writer_of("grammar", {}), context)
        rows = image_rows(caption_rows(written_captions), 1, shared=False)
        generator = Generator(options, ImageFormat(), home)
        sampler, size = generator.sampler, (options.steps, options.height)
        batches = images // options.batch_size
        floor = Bare(sampler.pipeline, options.batch_size, options.height)
        floor.denoise(options.steps)
        staged(generator, rows[: options.batch_size], context, -1)
        found: list[tuple[float, ...]] = []
        for turn in range(turns):
            bare = decode = 0.0
            for _ in range(batches):
                bare += seconds(partial(floor.denoise, options.steps))
                decode += seconds(partial(floor.decode, options.batch_size))
            stage = seconds(partial(staged, generator, rows, context, turn))
            single = plain(sampler, rows, *size, count=32) * images
            print(
                f"images/s: stage {images / stage:.2f}, bare {images / bare:.2f}, bare with "
                f"decoding {images / (bare + decode):.2f}, plain {images / single:.2f}"
            )
            found.append((bare / stage, (bare + decode) / stage, single / stage))
        medians = [median(column) for column in zip(*found, strict=True)]
        print(
            f"stage / bare {medians[0]:.2f}, stage / bare with decoding {medians[1]:.2f}, "
            f"stage / plain {medians[2]:.2f}"
        )


def variants(options: GeneratorOptions, turns: int) -> None:
    """Print the UNet's images per second for each way to run it."""
    home = Home(Path("nowhere"))
    for changes in (
        {},
        {"channels_last": True},
        {"attention": "math"},
        {"dtype": "bf16"},
        {"dtype": "bf16", "channels_last": True},
        {"compile": True},
        {"compile": True, "channels_last": True},
    ):
        values = {name: getattr(options, name) for name in options.__struct_fields__}
        chosen = GeneratorOptions(**{**values, "channels_last": False, "compile": False, **changes})
        sampler = Generator(chosen, ImageFormat(), home).sampler
        floor = Bare(sampler.pipeline, options.batch_size, options.height)
        run = partial(_attended, floor, chosen)
        first = seconds(run)
        rates = [options.batch_size / seconds(run) for _ in range(turns)]
        print(
            f"{changes or 'plain'}: {median(rates):.2f} images/s; first {first:.1f} s", flush=True
        )


def _attended(floor: Bare, options: GeneratorOptions) -> None:
    from contextlib import nullcontext

    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH) if options.attention == "math" else nullcontext():
        floor.denoise(options.steps)


QUIET = Progress(quiet=True)


def _no_embedder(_: str) -> Embedder:
    raise NotImplementedError


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="stable-diffusion")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--height", type=int, default=32)
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--variants", action="store_true")
    given = parser.parse_args()
    options = GeneratorOptions(
        model=given.generator, steps=given.steps, height=given.height, dtype=given.dtype,
        batch_size=given.batch,
    )  # fmt: skip
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    clock = "processor" if alone() else "wall-clock"
    print(f"{torch.get_num_threads()} threads, {device}, {given.dtype}, {clock} seconds")
    if given.variants:
        variants(options, given.turns)
    else:
        ratios(options, given.images, given.turns)


if __name__ == "__main__":
    main()
