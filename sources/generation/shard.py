"""Generating a shard: every image drawn, checked, drawn anew where it is bad, encoded and written.

Decoding, checking, encoding and writing run in a thread while the next batch is denoised.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import polars as pl
from PIL import Image

from bench.core.json_values import digest
from bench.core.progress import Bar
from bench.storage.packing import shrink
from bench.storage.tar_shards import ShardWriter, encode
from sources.generation.options import GeneratorOptions
from sources.generation.sampler import DiffusionSampler, Frame, Item

T = TypeVar("T")
M = TypeVar("M")
R = TypeVar("R")
Row = dict[str, Any]

MAX_DRAWS = 3
"""Times an image is drawn, each with the next seed, until one is fit to be seen."""

DEFECTS = ("black", "constant", "not finite")
"""What is wrong with an image that is drawn anew."""

UNSAFE = "unsafe"

DRAWN_SCHEMA = pl.Schema(
    {
        "key": pl.String,
        "failure": pl.String,
        "draws": pl.Int64,
        **dict.fromkeys(DEFECTS, pl.Int64),
        "truncated": pl.Boolean,
        "flagged": pl.Boolean,
        "offset": pl.Int64,
        "size": pl.Int64,
        "sha256": pl.String,
    }
)
"""What became of an image: why it is missing (null if it is there), how often it was drawn and how
often each defect was found, whether its caption was cut and the safety checker objected, and where
it is in the tar."""


class ShardGenerator:
    """The images of one shard.

    Args:
        sampler: Who draws.
        options: How images are kept.
        writer: Where they go.
    """

    def __init__(
        self, sampler: DiffusionSampler, options: GeneratorOptions, writer: ShardWriter
    ) -> None:
        self._painter = sampler
        self._options = options
        self._writer = writer
        self._drawn: dict[str, Row] = {}

    def draw(
        self, rows: list[Row], bar: Bar, image_of: Callable[[Row], Image.Image] | None = None
    ) -> pl.DataFrame:
        """Draw images and return what became of each, with the columns of `DRAWN_SCHEMA`.

        Args:
            rows: Key, caption and seed of each.
            bar: Where they are counted off.
            image_of: What an image starts from; None for noise.
        """
        for row in rows:
            counts = dict.fromkeys(("draws", *DEFECTS), 0)
            truncated = self._painter.prompts.truncated(row["caption"])
            self._drawn[row["key"]] = {"key": row["key"], **counts, "truncated": truncated}
        missing = rows
        for attempt in range(MAX_DRAWS):

            def denoise(batch: list[Row], attempt: int = attempt) -> tuple[list[Row], list[Any]]:
                seeds = [draw_seed(row["seed"], attempt) for row in batch]
                begun = [image_of(row) if image_of else None for row in batch]
                captions = [row["caption"] for row in batch]
                return batch, self._painter.denoise(list(map(Item, captions, seeds, begun)))

            size = self._options.batch_size
            batches = [missing[start : start + size] for start in range(0, len(missing), size)]
            for count in overlapped(denoise, self._finish, batches):
                bar.advance(count if attempt == 0 else 0)
            missing = [row for row in missing if self._drawn[row["key"]]["failure"] in DEFECTS]
        return pl.DataFrame(list(self._drawn.values()), schema=DRAWN_SCHEMA, orient="row")

    def _finish(self, made: tuple[list[Row], list[Any]]) -> int:
        """Check, encode and write a batch; return how many images it has."""
        batch, chunks = made
        fit: list[tuple[Row, Image.Image]] = []
        for row, frame in zip(batch, self._painter.finish(chunks), strict=True):
            drawn = self._drawn[row["key"]]
            drawn["draws"] += 1
            drawn["failure"] = defect(frame)
            if drawn["failure"] is None:
                fit.append((drawn, Image.fromarray((frame * 255).round().astype(np.uint8))))
            else:
                drawn[drawn["failure"]] += 1
        for (drawn, image), unsafe in zip(fit, self._unsafe([i for _, i in fit]), strict=True):
            drawn["flagged"] = unsafe
            if unsafe and self._options.safety == "drop":
                drawn["failure"] = UNSAFE
            else:
                drawn.update(self._write(drawn["key"], image))
        return len(batch)

    def _unsafe(self, images: list[Image.Image]) -> Sequence[bool | None]:
        if self._painter.safety is None or not images:
            return [None] * len(images)
        return self._painter.safety.unsafe(images)

    def _write(self, key: str, image: Image.Image) -> Row:
        options = self._options
        content = encode(shrink(image, options.image_size), options.suffix, options.quality)
        return self._writer.add(key, content, options.suffix)


def draw_seed(seed: int, attempt: int) -> int:
    """Return the seed of an image's noise when it is drawn for the n-th time, from 0."""
    return int(digest([seed, attempt], 15), 16)


def defect(frame: Frame) -> str | None:
    """Return what is wrong with a frame that shows nothing; None if nothing is."""
    if not np.isfinite(frame).all():
        return "not finite"
    if frame.max() < 1 / 255:
        return "black"
    return "constant" if frame.std(axis=(0, 1)).max() < 1 / 255 else None


def overlapped(
    first: Callable[[T], M], second: Callable[[M], R], items: Iterable[T]
) -> Iterator[R]:
    """Yield ``second(first(item))``, in order; a thread does the second while we do the next first.

    No more than two items are under way at any time.
    """
    with ThreadPoolExecutor(1) as background:
        ahead: Future[R] | None = None
        for item in items:
            made = first(item)
            if ahead is not None:
                yield ahead.result()
            ahead = background.submit(second, made)
        if ahead is not None:
            yield ahead.result()
