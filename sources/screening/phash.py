"""Hashes of images: of their pixels, which only exact copies share, and of their look."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.storage.tar_shards import sha256

HASH_SIDE = 16
"""A perceptual hash has 16 x 16 bits: at 32 pixels, 8 x 8 cannot tell poses apart."""

HASH_BITS = HASH_SIDE**2

HASH_WORDS = [f"hash_{index}" for index in range(HASH_BITS // 64)]

HASH_SCHEMA: dict[str, type[pl.DataType]] = dict.fromkeys(HASH_WORDS, pl.Int64)

LEAST_SIDE = 2 * HASH_SIDE
"""Images with a shorter side have no perceptual hash: its 16th frequency is not in them, and
different digits of 8 x 8 pixels would pass for copies."""

Hashes = NDArray[np.uint64]

FRAMINGS = {
    "as it is": (0.0, 0.0),
    "3% cropped": (0.03, 0.03),
    "6% cropped": (0.06, 0.06),
    "9% cropped": (0.09, 0.09),
    "4% cropped below": (0.0, 0.04),
    "5% white border": (-0.05, -0.05),
    "10% white border": (-0.1, -0.1),
}
"""Name to what is cut off above and on both sides, and below, as shares of height and width.

A perceptual hash stands a crop of 2 % and no more, hence steps of 3 %. Below, FGVC-Aircraft has a
banner; a negative share adds white, as web shops do."""


def pixel_hash(image: Image.Image) -> str:
    """Return a hash of an image's size and pixels, which only exact copies share."""
    return sha256(repr(image.size).encode() + image.convert("RGB").tobytes())


def perceptual_hash(image: Image.Image) -> Sequence[int | None]:
    """Return the DCT hash of an image as four signed 64-bit words; Nones if it is too small."""
    import imagehash

    if min(image.size) < LEAST_SIDE:
        return [None] * len(HASH_WORDS)
    bits = imagehash.phash(image, hash_size=HASH_SIDE).hash
    return np.packbits(bits).view(">i8").astype(np.int64).tolist()


def framings(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Yield an image as other sites may show it: in each of `FRAMINGS`, and mirrored."""
    width, height = image.size
    for name, (cut, below) in FRAMINGS.items():
        box = (cut * width, cut * height, (1 - cut) * width, (1 - below) * height)
        shown = _cropped(image, box) if name != "as it is" else image
        yield name, shown
        yield f"{name}, mirrored", ImageOps.mirror(shown)


def hash_words(rows: pl.DataFrame) -> Hashes:
    """Return the perceptual hashes of rows that have one, uint64 ``[n, 4]``."""
    words = rows.select(HASH_WORDS).to_numpy().astype(np.int64)
    return words.view(np.uint64).reshape(-1, len(HASH_WORDS))


def _cropped(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """Return the part in a box, as large as the whole; white where the box is outside."""
    left, top, right, bottom = box
    across, down = (right - left) / image.width, (bottom - top) / image.height
    coefficients = (across, 0, left, 0, down, top)
    white = 255 if image.mode == "L" else (255,) * len(image.mode)
    return image.transform(
        image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC, fillcolor=white
    )
