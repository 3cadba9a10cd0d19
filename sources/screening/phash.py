"""Hashes of images: of their pixels, which only exact copies share, and of their look."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from bench.storage.tar_shards import sha256

HASH_SIDE = 16
"""A perceptual hash has 16 x 16 bits: at 32 pixels, 8 x 8 cannot tell poses apart."""

HASH_BITS = HASH_SIDE**2

HASH_WORDS = [f"hash_{index}" for index in range(HASH_BITS // 64)]

TRIMMED_WORDS = [f"trimmed_{index}" for index in range(HASH_BITS // 64)]
"""The hash of an image without its border; null where there is none."""

HASH_SCHEMA: dict[str, type[pl.DataType]] = dict.fromkeys([*HASH_WORDS, *TRIMMED_WORDS], pl.Int64)

HASH_VERSION = "signs of 16 x 16 frequencies, 1"
"""Changes with whatever changes a hash."""

LEAST_SIDE = 2 * HASH_SIDE
"""Images with a shorter side have no perceptual hash: its 16th frequency is not in them, and
different digits of 8 x 8 pixels would pass for copies."""

GRID = 64
"""Side of the square of grey pixels that hashes are computed from."""

_BORDER_LEVELS = 16
_BORDER_SHARE = 0.95
"""A line belongs to a border if this share of its pixels is within so many of 256 grey levels of
the outermost line's median. With 12 and 0.98, JPEG of quality 60 hides every third border."""

_LEAST_LEVEL = 0.05
_LEAST_FREQUENCIES = HASH_BITS // 4
"""An image has structure if a quarter of its frequencies have at least this strength, in grey
levels: JPEG changes the signs of weaker ones. Measured by tests/benchmarks/dedup_recall.py."""

_SCALE = 2**16
"""Weights are whole multiples of 1 / 65,536, so that all sums are exact in float64 (below 2^53),
and every processor and number of threads finds the same bits."""

Hashes = NDArray[np.uint64]
Grid = NDArray[np.float64]


def pixel_hash(image: Image.Image) -> str:
    """Return a hash of an image's size and pixels, which only exact copies share."""
    return sha256(repr(image.size).encode() + image.convert("RGB").tobytes())


def looks(image: Image.Image) -> list[int | None]:
    """Return what `HASH_SCHEMA` names: the hash of an image, and of it without its border."""
    grey = image.convert("L")
    inside = trimmed(grey)
    return [*_words(grey), *(_words(inside) if inside else [None] * len(TRIMMED_WORDS))]


def trimmed(grey: Image.Image) -> Image.Image | None:
    """Return the part inside a border of one level, at most a third wide; None if there is none."""
    levels = np.asarray(grey, np.int16)
    top, bottom = (_border(lines) for lines in (levels, levels[::-1]))
    rows = levels[top : grey.height - bottom]
    left, right = (_border(lines) for lines in (rows.T, rows.T[::-1]))
    if not any((left, top, right, bottom)):
        return None
    inside = grey.crop((left, top, grey.width - right, grey.height - bottom))
    return inside if min(inside.size) >= LEAST_SIDE else None


def grid(grey: Image.Image) -> Grid:
    """Return the grey levels that hashes are computed from, squeezed into ``[GRID, GRID]``."""
    small = Image.Resampling.BICUBIC if min(grey.size) < GRID else Image.Resampling.BOX
    return np.asarray(grey.resize((GRID, GRID), small), np.float64)


def waves(start: float, end: float) -> Grid:
    """Return the lowest cosines between two places of a side as weights of its pixels.

    Exact integrals over each pixel, so that a crop needs no resampling.

    Args:
        start: Where the first half-wave begins, as a share of the side.
        end: Where the last one ends.

    Returns:
        ``[HASH_SIDE, GRID]``, whole numbers; 65,536 stands for 1.
    """
    edges = np.clip((np.arange(GRID + 1) / GRID - start) / (end - start), 0, 1)
    frequency = np.pi * np.arange(1, HASH_SIDE)[:, None]
    integrals = np.concatenate([edges[None], np.sin(frequency * edges) / frequency])
    return np.round(np.diff(integrals, axis=1) * _SCALE)


_WHOLE = waves(0, 1)


def coefficients(levels: Grid) -> Grid:
    """Return the lowest frequencies of a whole grid (a DCT), ``[HASH_SIDE, HASH_SIDE]``."""
    return _WHOLE @ levels @ _WHOLE.T


def structured(frequencies: Grid) -> bool:
    """Return whether an image has enough structure to be told from others when it is changed."""
    strong = np.abs(frequencies) >= _LEAST_LEVEL * _SCALE**2
    return bool(strong.sum() >= _LEAST_FREQUENCIES)


def signs(frequencies: Grid) -> Hashes:
    """Return which of ``[..., HASH_SIDE, HASH_SIDE]`` are positive, as hashes ``[..., 4]``."""
    bits = (frequencies > 0).reshape(*frequencies.shape[:-2], HASH_BITS)
    return np.packbits(bits, axis=-1).view(">u8").astype(np.uint64)


def mirrored(hashes: Hashes) -> Hashes:
    """Return the hashes of the mirrored images: odd waves from left to right change sign."""
    odd = np.zeros((HASH_SIDE, HASH_SIDE))
    odd[:, 1::2] = 1
    return hashes ^ signs(odd)


def hash_words(rows: pl.DataFrame, names: Sequence[str] = HASH_WORDS) -> Hashes:
    """Return the hashes in columns of signed words, none of them null, uint64 ``[n, 4]``."""
    words = rows.select(names).to_numpy().astype(np.int64)
    return words.view(np.uint64).reshape(-1, len(HASH_WORDS))


def _words(grey: Image.Image) -> Sequence[int | None]:
    if min(grey.size) < LEAST_SIDE:
        return [None] * len(HASH_WORDS)
    words: list[int | None] = signs(coefficients(grid(grey))).view(np.int64).tolist()
    return words


def _border(lines: NDArray[np.int16]) -> int:
    """Return how many lines from the first on are one border."""
    near = np.abs(lines - np.median(lines[0])) <= _BORDER_LEVELS
    inside = near[: len(lines) // 3].mean(axis=1) < _BORDER_SHARE
    return int(inside.argmax()) if inside.any() else len(inside)
