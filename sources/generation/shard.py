"""Generate a shard: sample, check, try again where an image is bad, encode and write.

Decoding, checking, encoding and writing run in a thread while the next batch is denoised. On a GPU
both use its one queue, where decoding takes its turn: it is no faster for that, but what follows on
the CPU costs the GPU nothing. That is 7 ms of one core for an image of 512 pixels kept at 256
(measured), and neither it nor a wait for the GPU holds Python's lock.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import polars as pl
from PIL import Image

from bench.core.json_values import digest
from bench.core.progress import Bar
from bench.storage.image_codec import ImageFormat
from bench.storage.tar_shards import ShardWriter
from sources.generation.options import GeneratorOptions
from sources.generation.sampler import DiffusionSampler, Frame, Item

T = TypeVar("T")
M = TypeVar("M")
R = TypeVar("R")
Row = dict[str, Any]

MAX_ATTEMPTS = 3
"""Attempts at an image, each with its own seed, until one has no defect."""

DEFECTS = ("black", "constant", "not finite")
"""What makes another attempt necessary."""

UNSAFE = "unsafe"

GENERATED_SCHEMA = pl.Schema(
    {
        "key": pl.String,
        "failure": pl.String,
        "attempts": pl.Int64,
        **dict.fromkeys(DEFECTS, pl.Int64),
        "truncated": pl.Boolean,
        "flagged": pl.Boolean,
        "offset": pl.Int64,
        "size": pl.Int64,
        "sha256": pl.String,
    }
)
"""What became of an image: why it is missing (null if it is there), the attempts and how many had
each defect, whether its caption was truncated and the safety checker objected, and where it is in
the tar."""


class ShardGenerator:
    """The images of one shard.

    Args:
        sampler: What samples them.
        options: How it samples.
        images: How images are kept.
        writer: Where they go.
    """

    def __init__(
        self,
        sampler: DiffusionSampler,
        options: GeneratorOptions,
        images: ImageFormat,
        writer: ShardWriter,
    ) -> None:
        self._sampler = sampler
        self._options = options
        self._images = images
        self._writer = writer
        self._outcomes: dict[str, Row] = {}

    def generate(
        self, rows: list[Row], bar: Bar, image_of: Callable[[Row], Image.Image] | None = None
    ) -> pl.DataFrame:
        """Generate images and return what became of each, with the columns of `GENERATED_SCHEMA`.

        Args:
            rows: Key, caption and seed of each.
            bar: Where they are counted off.
            image_of: What an image starts from; None for noise.
        """
        for row in rows:
            counts = dict.fromkeys(("attempts", *DEFECTS), 0)
            truncated = self._sampler.prompts.truncated(row["caption"])
            self._outcomes[row["key"]] = {"key": row["key"], **counts, "truncated": truncated}
        missing = rows
        for attempt in range(MAX_ATTEMPTS):

            def denoise(batch: list[Row], attempt: int = attempt) -> tuple[list[Row], list[Any]]:
                seeds = [attempt_seed(row["seed"], attempt) for row in batch]
                starts = [image_of(row) if image_of else None for row in batch]
                captions = [row["caption"] for row in batch]
                return batch, self._sampler.denoise(list(map(Item, captions, seeds, starts)))

            size = self._options.batch_size
            batches = [missing[start : start + size] for start in range(0, len(missing), size)]
            for count in overlapped(denoise, self._finish, batches):
                bar.advance(count if attempt == 0 else 0)
            missing = [row for row in missing if self._outcomes[row["key"]]["failure"] in DEFECTS]
        return pl.DataFrame(list(self._outcomes.values()), schema=GENERATED_SCHEMA, orient="row")

    def _finish(self, made: tuple[list[Row], list[Any]]) -> int:
        """Check, encode and write a batch; return how many images it has."""
        batch, chunks = made
        fit: list[tuple[Row, Image.Image]] = []
        for row, frame in zip(batch, self._sampler.finish(chunks), strict=True):
            outcome = self._outcomes[row["key"]]
            outcome["attempts"] += 1
            outcome["failure"] = defect(frame)
            if outcome["failure"] is None:
                fit.append((outcome, Image.fromarray((frame * 255).round().astype(np.uint8))))
            else:
                outcome[outcome["failure"]] += 1
        for (outcome, image), unsafe in zip(fit, self._unsafe([i for _, i in fit]), strict=True):
            outcome["flagged"] = unsafe
            if unsafe and self._options.safety == "drop":
                outcome["failure"] = UNSAFE
            else:
                outcome.update(self._write(outcome["key"], image))
        return len(batch)

    def _unsafe(self, images: list[Image.Image]) -> Sequence[bool | None]:
        if self._sampler.safety is None or not images:
            return [None] * len(images)
        return self._sampler.safety.unsafe(images)

    def _write(self, key: str, image: Image.Image) -> Row:
        content = self._images.encoded(self._images.fitted(image))
        return self._writer.add(key, content, self._images.suffix)


def attempt_seed(seed: int, attempt: int) -> int:
    """Return the seed of the noise of an image's n-th attempt, from 0."""
    return int(digest([seed, attempt], 15), 16)


def defect(frame: Frame) -> str | None:
    """Return what is wrong with a frame that shows nothing; None if nothing is."""
    if not np.isfinite(frame).all():
        return "not finite"
    if frame.max() < 1 / 255:
        return "black"
    colours = np.ascontiguousarray(frame.reshape(-1, frame.shape[-1]).T)  # 14 times as fast.
    return "constant" if colours.std(axis=1).max() < 1 / 255 else None


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
