"""Embed JPEGs from a tar, as the screening of every source does, against the bare network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_clip
import polars as pl
import torch
from open_clip.transform import image_transform
from PIL import Image
from torch import Tensor

from adapt.models import Clip, ClipEmbedder
from bench.runtime.ahead import ahead
from bench.runtime.float32 import float32_products
from bench.storage.image_codec import encode
from bench.storage.tar_shards import ShardWriter
from sources.screening.embed import Decoded
from tests.gpu.measure import Check, Figure, Machine, Note, Result

LIMIT = 1e-3
"""Of the cosine distance to the CPU's embeddings."""

TINY = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}


def run(machine: Machine) -> Iterator[Result]:
    """Yield whether the device embeds as the CPU does, and how fast."""
    torch.manual_seed(0)
    count, batch, turns = (64, 16, 3) if machine.tiny else (2048, 256, 3)
    clip = made_clip(machine.tiny)
    tar = machine.folder / "images.tar"
    rows = write_images(tar, count)
    compared = rows.head(8 if machine.tiny else 32)
    expected = ClipEmbedder(clip, batch).images(Decoded(tar, compared))
    clip = on(clip, machine.device)
    embedder = ClipEmbedder(clip, batch)
    found = embedder.images(Decoded(tar, compared))
    distance = float((1 - (found * expected).sum(axis=1)).max())
    yield Check("cosine distance to the CPU's embeddings, the largest", distance, LIMIT)
    yield Note(f"largest difference of a number of theirs: {np.abs(found - expected).max():.2e}")

    def whole() -> None:
        embedder.images(Decoded(tar, rows))

    def prepare() -> None:
        for _ in ahead(clip.preprocess_val, Decoded(tar, rows), batch):
            pass

    forward = forward_of(clip, batch, count // batch)

    def exact() -> None:
        with float32_products():
            forward()

    rates = machine.rates(count, whole, exact, prepare, on_one_thread(prepare), turns=turns)
    floor = "bare fp32"
    yield Figure("end to end, fp32", "images/s", rates[0], rates[1], floor, goal=0.95)
    yield Figure(floor, "images/s", rates[1])
    threads = f"decode, hash and preprocess, {machine.cores} cores"
    yield Figure(threads, "images/s", rates[2])
    yield Figure(f"{threads}, OpenMP off", "images/s", rates[3])
    yield from coarser(machine, forward, count, turns)
    yield Note(f"from JPEGs in a tar to embeddings; bare: passes over {batch} images on the device")


def coarser(
    machine: Machine, forward: Callable[[], None], count: int, turns: int
) -> Iterator[Result]:
    """Yield what the bare network does in formats that embeddings are not computed in, to know."""

    def tf32() -> None:
        torch.set_float32_matmul_precision("high")
        forward()
        torch.set_float32_matmul_precision("highest")

    def bf16() -> None:
        with torch.autocast(machine.device.type, torch.bfloat16):
            forward()

    for name, rates in zip(
        ("tf32", "bf16"), machine.rates(count, tf32, bf16, turns=turns), strict=True
    ):
        yield Figure(f"bare {name}", "images/s", rates)


def made_clip(tiny: bool) -> Clip:
    """Return open_clip's ViT-B/16 with random weights, on the CPU; small if wanted."""
    small = {"vision_cfg": TINY, "embed_dim": 32} if tiny else {}
    model = open_clip.create_model("ViT-B-16", **small).eval().requires_grad_(False)
    preprocess = image_transform(model.visual.image_size, is_train=False)
    dim, cpu = model.visual.output_dim, torch.device("cpu")
    return on(Clip(model, preprocess, preprocess, open_clip.tokenize, "", "", dim, cpu), cpu)


def on(clip: Clip, device: torch.device) -> Clip:
    """Return a model on a device, laid out as `adapt.models.load_clip` does."""
    model = clip.model.to(device, memory_format=torch.channels_last)
    train, val = clip.preprocess_train, clip.preprocess_val
    return Clip(model, train, val, clip.tokenizer, "", "", clip.dim, device)


def write_images(tar: Path, count: int) -> pl.DataFrame:
    """Write JPEGs like the harness's, 256 pixels high; 64 differ. Return key, offset and size."""
    made = np.random.default_rng(0)
    contents = []
    for _ in range(min(64, count)):
        coarse = Image.fromarray(made.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((341, 256), Image.Resampling.BICUBIC), np.int16)
        grain = made.integers(-12, 13, smooth.shape)
        pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        contents.append(encode(Image.fromarray(pixels), ".jpg"))
    with ShardWriter(tar) as writer:
        rows = [
            {"key": f"{i:06d}", **writer.add(f"{i:06d}", contents[i % len(contents)], ".jpg")}
            for i in range(count)
        ]
    return pl.DataFrame(rows)


def forward_of(clip: Clip, batch: int, passes: int) -> Callable[[], None]:
    """Return the bare work: so many passes over one batch that is on the device."""
    height, width = clip.model.visual.image_size
    pixels: Tensor = torch.randn(batch, 3, height, width, device=clip.device)

    def forward() -> None:
        with torch.inference_mode():
            for _ in range(passes):
                clip.model.encode_image(pixels, normalize=True)

    return forward


def on_one_thread(work: Callable[[], None]) -> Callable[[], None]:
    """Return some work whose tensors' operations use the thread that they are called in."""

    def alone() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        work()
        torch.set_num_threads(before)

    return alone
