"""The generate stage with Stable Diffusion 1.5's architecture, at its size, with random weights.

Seconds of the budget, reckoned for an H100 from 0.1 s for a step of the UNet with 16 images (its
2 x 16 rows at 0.8 TFLOP and 250 TFLOP/s; not measured): imports, weights and loading 25, checks 12,
floor 12, the stage (five batches of 50 steps) 27, batch sizes 8, formats 9, attention 2, memory 3.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sources.generation.options import GeneratorOptions
from sources.generation.sampler import DECODED_PIXELS, DiffusionSampler, Frame, Item
from tests.gpu.measure import Check, Figure, Machine, Note, Result
from tests.support.bare_diffusion import Bare

TURNS = 3


@dataclass(frozen=True)
class Sizes:
    """What is generated.

    Attributes:
        height: Side of an image in pixels.
        steps: Steps of the sampler.
        batch: Images at once.
        batches: Batches of the stage that is measured; the first two are its start and end.
        others: Numbers of images at once that are compared.
        few: Steps of a turn where the UNet alone is measured.
    """

    height: int
    steps: int
    batch: int
    batches: int
    others: tuple[int, ...]
    few: int

    @property
    def at_once(self) -> int:
        """Images that are decoded at once."""
        return max(1, min(self.batch, DECODED_PIXELS // self.height**2))


FULL = Sizes(height=512, steps=50, batch=16, batches=TURNS + 2, others=(4, 16, 32), few=5)
TINY = Sizes(height=16, steps=2, batch=2, batches=TURNS + 2, others=(1, 2), few=1)
KEPT = 4
"""Images of the checks, a batch of them."""

LARGEST_HALF = 65_504
"""The largest number of half precision."""


def run(machine: Machine) -> Iterator[Result]:
    """Check and measure the sampler, the stage, and the UNet alone."""
    sizes = TINY if machine.tiny else FULL
    options, able = loaded(machine, sizes)
    yield from alone_and_together(able)
    yield from broken(machine, able, options)
    yield from stage(machine, able, options, sizes)
    yield from batch_sizes(machine, able, sizes)
    yield from formats(machine, able, sizes)
    # Last: on a card that nobody tried, these two are the likeliest to fail.
    yield from short_of_memory(machine, able, options, sizes)
    yield from overflow(able)


def loaded(
    machine: Machine, sizes: Sizes, **more: Any
) -> tuple[GeneratorOptions, DiffusionSampler]:
    """Return the pipeline as the source loads it, from a folder that is made for it."""
    folder = machine.folder / "pipeline"
    if not folder.is_dir():
        written(machine, folder)
    options = GeneratorOptions(
        model=str(folder), dtype="fp16", steps=sizes.steps, height=sizes.height,
        batch_size=sizes.batch, **more,
    )  # fmt: skip
    return options, DiffusionSampler(folder, options)


def written(machine: Machine, folder: Path) -> None:
    """Write a pipeline with random weights."""
    if machine.tiny:
        from tests.support.tiny_pipelines import write_pipeline

        write_pipeline("sd", folder)
    else:
        from tests.support.stable_diffusion import write_stable_diffusion

        write_stable_diffusion(folder, torch.float16, machine.device.type)


def items(count: int) -> list[Item]:
    """Return images to sample, each with a caption and a seed of its own."""
    return [Item(f"a photo of a C-130 over town {at}", 1000 + at) for at in range(count)]


def grey(frames: list[Frame]) -> Any:
    """Return frames in grey levels, from 0 to 255, as they are kept."""
    return (np.stack(frames) * 255).round()


def alone_and_together(able: DiffusionSampler) -> Iterator[Result]:
    """Compare an image made alone with the same in a batch.

    cuBLAS and cuDNN choose kernels by the batch, and their sums round otherwise. A number of half
    precision is off by 2^-11 of itself, an eighth of a grey level for white, and 50 steps add up
    such errors of either sign: about one grey level. A wrong seed or caption gives another image,
    which is tens of grey levels away.
    """
    from sources.generation.shard import defect

    noise: list[torch.Tensor] = []

    def note(_: object, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        noise.append(next(iter((*given, *named.values())))[:1].cpu())

    unet, wanted = able.pipeline.unet, items(KEPT)
    hook = unet.register_forward_pre_hook(note, with_kwargs=True)
    frames = able.finish(able.denoise(wanted))
    hook.remove()
    generator = torch.Generator().manual_seed(wanted[0].seed)
    expected = torch.randn(noise[0].shape[1:], generator=generator).to(unet.dtype)
    yield Check("noise of a seed against the CPU's, to the bit", *differs(noise[0][0], expected))
    yield Check("frames with a defect", sum(defect(frame) is not None for frame in frames), 0)
    alone = able.finish(able.denoise(wanted[1:2]))
    apart = abs(grey(frames)[1] - grey(alone)[0])
    yield Check("an image alone against in a batch, mean grey levels", float(apart.mean()), 1.0)
    yield Note(f"at most {apart.max():.0f} grey levels, 99.9 % {np.quantile(apart, 0.999):.0f}")
    others = float(abs(grey(frames)[1] - grey(frames)[0]).mean())
    yield Check("two seeds' images differ by 10 grey levels, less", max(0.0, 10 - others), 0)


def differs(found: torch.Tensor, expected: torch.Tensor) -> tuple[float, float]:
    """Return 0 if tensors are equal to the bit, else 1; and the limit of such a check, 0."""
    return float(not torch.equal(found, expected)), 0


def shard(
    machine: Machine,
    able: DiffusionSampler,
    options: GeneratorOptions,
    count: int,
    done: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Generate a shard as the stage does; return what became of each image.

    Args:
        machine: Where the tar goes.
        able: The sampler.
        options: How it samples.
        count: Images.
        done: Called with the number of finished images at every batch.
    """
    # Polars, that they need, is among the larger wheels: without it the rest is measured.
    from bench.core.progress import Progress
    from bench.storage.image_codec import ImageFormat
    from bench.storage.tar_shards import ShardWriter
    from sources.generation.shard import ShardGenerator

    rows = [
        {"key": f"b00000-{at:06d}", "caption": item.prompt, "seed": item.seed}
        for at, item in enumerate(items(count))
    ]
    progress = Progress(quiet=True)
    with (
        ShardWriter(machine.folder / "images.tar") as writer,
        progress.observed(lambda work: done(work.done)),
        progress.bar("generate", count, "image") as bar,
    ):
        made = ShardGenerator(able, options, ImageFormat(), writer).generate(rows, bar)
    return made.to_dicts()


def broken(machine: Machine, able: DiffusionSampler, options: GeneratorOptions) -> Iterator[Result]:
    """Let the UNet's first numbers of a shard's first image be none: it is generated again."""
    calls = 0

    def spoil(_: object, __: object, output: tuple[torch.Tensor, ...]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            output[0][0].fill_(float("nan"))

    hook = able.pipeline.unet.register_forward_hook(spoil)
    outcomes = shard(machine, able, options, KEPT)
    hook.remove()
    attempts = [outcome["attempts"] for outcome in outcomes]
    yield Check(
        "one image is broken once: attempts too many or too few",
        sum(abs(found - right) for found, right in zip(attempts, [2, 1, 1, 1], strict=True)), 0,
    )  # fmt: skip
    yield Check("images of that shard that are missing", missing(outcomes), 0)


def missing(outcomes: list[dict[str, Any]]) -> int:
    """Return how many images are not in the tar."""
    return sum(outcome["size"] is None for outcome in outcomes)


def stage(
    machine: Machine, able: DiffusionSampler, options: GeneratorOptions, sizes: Sizes
) -> Iterator[Result]:
    """Measure the stage where it is under way, and the UNet alone before.

    A batch is counted when it is written and the next is denoised. The first interval has two
    batches and the last none of the UNet, which is little of a real shard of 1000 images.
    """
    bare = Bare(able.pipeline, sizes.batch, sizes.height)
    part = max(1, sizes.steps // 2)
    share = sizes.batch * part / sizes.steps
    (floor,) = machine.rates(share, partial(bare.denoise, part), turns=TURNS)
    yield Figure("UNet alone, by turns with the stage", "images/s", floor)
    decode = partial(bare.decode, sizes.at_once)
    (decoding,) = machine.rates(sizes.batch, decode, turns=TURNS)
    yield Figure(f"decoder alone, {sizes.at_once} at once", "images/s", decoding)
    both = [1 / (1 / unet + 1 / vae) for unet, vae in zip(floor, decoding, strict=True)]
    counted = [(0, time.perf_counter())]

    def note(done: int) -> None:
        if done > counted[-1][0]:
            counted.append((done, time.perf_counter()))

    reset_peak(machine)
    total = sizes.batch * sizes.batches
    outcomes = shard(machine, able, options, total, note)
    moments = [moment for _, moment in counted]
    whole = total / (moments[-1] - moments[0])
    yield Check("images of the stage that are missing", missing(outcomes), 0)
    rates = [sizes.batch / (after - before) for before, after in pairwise(moments[1:-1])]
    yield Figure(f"stage, batch {sizes.batch}", "images/s", rates, floor, "the UNet alone", 0.95)
    yield Figure(
        "stage, against UNet and decoder", "images/s", rates, both, "UNet and decoder alone"
    )
    yield Figure(f"stage, a shard of {total} with start and end", "images/s", [whole])
    yield from peak(machine, f"stage, batch {sizes.batch}")


def reset_peak(machine: Machine) -> None:
    """Begin to note the most memory."""
    if machine.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(machine.device)


def peak(machine: Machine, what: str) -> Iterator[Result]:
    """Yield the most memory since `reset_peak`, the weights included."""
    if machine.device.type == "cuda":
        yield Figure(f"memory, {what}", "GB", [torch.cuda.max_memory_allocated() / 1e9])


def batch_sizes(machine: Machine, able: DiffusionSampler, sizes: Sizes) -> Iterator[Result]:
    """Measure the UNet alone with more and fewer images at once."""
    for batch in sizes.others:
        bare = Bare(able.pipeline, batch, sizes.height)
        reset_peak(machine)
        amount = batch * sizes.few / sizes.steps
        (rates,) = machine.rates(amount, partial(bare.denoise, sizes.few), turns=TURNS)
        yield Figure(f"UNet alone, {sizes.few} steps, batch {batch}", "images/s", rates)
        yield from peak(machine, f"UNet alone, batch {batch}")


def formats(machine: Machine, able: DiffusionSampler, sizes: Sizes) -> Iterator[Result]:
    """Measure the UNet alone in other number formats and layouts, and with plain attention."""
    found = format_rates(machine, able, sizes)
    usual = next(iter(found))
    for name, rates in found.items():
        floor, of = ((), "") if name == usual else (found[usual], usual)
        yield Figure(f"UNet alone, {name}, batch {sizes.batch}", "images/s", rates, floor, of)
    reset_peak(machine)
    yield from attention(machine, able, sizes)


def format_rates(machine: Machine, able: DiffusionSampler, sizes: Sizes) -> dict[str, list[float]]:
    """Return the UNet's rates by name, the default first; each has a UNet of its own meanwhile."""
    last, usual = torch.channels_last, torch.contiguous_format
    chosen = {
        "fp16, channels last": (torch.float16, last),
        "fp16": (torch.float16, usual),
        "bf16, channels last": (torch.bfloat16, last),
        "bf16": (torch.bfloat16, usual),
    }
    works = []
    for dtype, layout in chosen.values():
        unet = deepcopy(able.pipeline.unet).to(dtype).to(memory_format=layout)
        bare = Bare(able.pipeline, sizes.batch, sizes.height, unet)
        works.append(partial(bare.denoise, sizes.few))
    amount = sizes.batch * sizes.few / sizes.steps
    found = machine.rates(amount, *works, turns=TURNS)
    return dict(zip(chosen, found, strict=True))


def attention(machine: Machine, able: DiffusionSampler, sizes: Sizes) -> Iterator[Result]:
    """Measure plain attention against the fused kernels."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    batch, steps = sizes.others[0], 2
    bare = Bare(able.pipeline, batch, sizes.height)

    def denoise(plain: bool) -> None:
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            bare.denoise(steps)

    amount = batch * steps / sizes.steps
    works = partial(denoise, False), partial(denoise, True)
    fused, plain = machine.rates(amount, *works, turns=TURNS)
    name = f"UNet alone, plain attention, batch {batch}"
    yield Figure(name, "images/s", plain, fused, "fused attention")
    yield from peak(machine, name)


def short_of_memory(
    machine: Machine, able: DiffusionSampler, options: GeneratorOptions, sizes: Sizes
) -> Iterator[Result]:
    """Give a batch less memory than it takes: it is halved, and no image is another.

    Less than half, for cuDNN would do without some of its workspace.
    """
    wanted = items(sizes.batch)
    reset_peak(machine)
    idle = memory(machine)
    expected = able.finish(able.denoise(wanted, sizes.few))
    needed = torch.cuda.max_memory_allocated() - idle if machine.device.type == "cuda" else 0
    short = DiffusionSampler(Path(options.model), options)
    reset_peak(machine)
    with limited(machine, short, memory(machine) + int(0.4 * needed), len(wanted)):
        found = short.finish(short.denoise(wanted, sizes.few))
    yield Check("batches not halved for want of memory", float(not short.halved), 0)
    apart = abs(grey(found) - grey(expected)).mean()
    yield Check("images of halved batches, mean grey levels", float(apart), 1.0)


def memory(machine: Machine) -> int:
    """Return the bytes that tensors take on the device; 0 on a CPU."""
    return torch.cuda.memory_allocated() if machine.device.type == "cuda" else 0


@contextmanager
def limited(machine: Machine, able: DiffusionSampler, limit: int, rows: int) -> Iterator[None]:
    """Limit the bytes of this process on its GPU; where it takes hardly any, the UNet's rows."""
    if machine.device.type == "cuda" and not machine.tiny:
        total = torch.cuda.get_device_properties(machine.device).total_memory
        torch.cuda.set_per_process_memory_fraction(limit / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return

    def refuse(_: object, given: tuple[Any, ...]) -> None:
        if len(given[0]) > rows:
            raise torch.OutOfMemoryError(f"no memory for more than {rows} rows")

    hook = able.pipeline.unet.register_forward_pre_hook(refuse)
    yield
    hook.remove()


def overflow(able: DiffusionSampler) -> Iterator[Result]:
    """Let the decoder's numbers be too large for half precision: it decodes in float32.

    It comes last, for the decoder is another one then.
    """
    vae = able.pipeline.vae
    made = able.denoise(items(2), 2)
    with torch.inference_mode():
        vae.decoder.conv_in.weight.mul_(1e5)
        beyond = vae.decode(made[0] / vae.config.scaling_factor, return_dict=False)[0]
    finite = float(torch.isfinite(beyond).all())
    yield Check("overflowing images that half precision decoded", finite, 0)
    broken = sum(not np.isfinite(frame).all() for frame in able.finish(made))
    yield Check(f"images left broken by numbers above {LARGEST_HALF:,}", broken, 0)
