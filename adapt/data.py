"""The training images: read from tar shards, augmented the same way wherever they are read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from adapt.augment import Augment
from adapt.crops import NUMBERS, is_small, planar
from adapt.order import Draw, stable_numbers, stable_seed
from bench.runtime import signals
from bench.storage.image_set import read_image

DECODED_BYTES = 2**30
"""Sets that take no more memory than this, decoded, are decoded once and kept."""


class TrainingImages(Dataset[tuple[Tensor, int]]):
    """The images of one run, augmented; an item is named by a `Draw`.

    What augmentation does to an image depends on the seed, the draw and the image's key, so it is
    the same in any batch, worker and process.

    Args:
        data: The folder that the rows' shard paths are relative to.
        rows: Rows of an image set's index, as `ImageSet.select` returns them.
        augment: What to do to an image.
        seed: The run's seed.
    """

    def __init__(self, data: Path, rows: pl.DataFrame, augment: Augment, seed: int) -> None:
        self.seed = seed
        self.augment = augment
        self._data = data
        # Plain lists: worker processes are forked, and polars' threads do not survive a fork.
        self._keys: list[str] = rows["key"].to_list()
        self.labels: list[int] = rows["label"].to_list()
        self._places = list(rows.select("shard", "offset", "size", "sha256").iter_rows())
        decoded_bytes = int((rows["width"].cast(pl.Int64) * rows["height"] * 3).sum())
        sizes = rows.select("width", "height").iter_rows()
        self._small = [augment.small is not None and is_small(*size) for size in sizes]
        self._decoded: dict[int, Image] = {}
        self._planar: dict[int, Tensor] = {}
        if decoded_bytes <= DECODED_BYTES:
            for row, small in enumerate(self._small):
                if small:
                    self._planar[row] = planar(self._read(row))
                else:
                    self._decoded[row] = self._read(row)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int]:
        return self.__getitems__([draw])[0]

    def __getitems__(self, draws: Sequence[Draw]) -> list[tuple[Tensor, int]]:
        """Return several images, uint8 ``[h, w, 3]``, with their labels."""
        small = [draw for draw in draws if self._small[draw.row]]
        with torch.random.fork_rng(devices=()):
            others = iter([self._draw(draw) for draw in draws if not self._small[draw.row]])
        together = iter(self._draw_small(small))
        pixels = (next(together if self._small[draw.row] else others) for draw in draws)
        return [(image, self.labels[draw.row]) for image, draw in zip(pixels, draws, strict=True)]

    def _draw(self, draw: Draw) -> Tensor:
        torch.default_generator.manual_seed(stable_seed(*self._parts(draw)))
        image = self._decoded.get(draw.row) or self._read(draw.row)
        return self.augment.draw(image)

    def _draw_small(self, draws: Sequence[Draw]) -> Iterable[Tensor]:
        """Return crops of small images; they take their numbers from no generator."""
        if not draws or self.augment.small is None:
            return ()
        images = []
        for draw in draws:
            kept = self._planar.get(draw.row)
            images.append(planar(self._read(draw.row)) if kept is None else kept)
        numbers = [stable_numbers(NUMBERS, *self._parts(draw)) for draw in draws]
        return self.augment.small.draw(images, numbers)

    def _parts(self, draw: Draw) -> tuple[object, ...]:
        """Return all that decides what augmentation does to an image."""
        again = (draw.copy,) if draw.copy else ()
        return (self.seed, draw.pass_index, self._keys[draw.row], *again)

    def _read(self, row: int) -> Image:
        return read_image(self._data, *self._places[row])


@dataclass(frozen=True)
class RankBatch:
    """What one process takes of one batch.

    Attributes:
        draws: Its images.
        batch: Images in the batch, over all processes.
        idle: Whether there were fewer images than processes; the one image then counts for nothing.
    """

    draws: list[Draw]
    batch: int
    idle: bool = False

    def weight(self, count: int) -> float:
        """Return the share of the batch that some of these images have."""
        return 0.0 if self.idle else count / self.batch


Batch = tuple[RankBatch, Tensor, Tensor]
"""A part, its images, uint8 ``[b, h, w, 3]``, and their labels, int64 ``[b]``."""


def rank_batches(batches: Iterable[list[Draw]], rank: int, ranks: int) -> Iterator[RankBatch]:
    """Yield the share that process number ``rank`` of ``ranks`` takes of each batch."""
    for batch in batches:
        mine = batch[rank::ranks]
        # Every process must join each step's all-reduce, if only with a zero.
        yield RankBatch(mine or batch[:1], len(batch), idle=not mine)


def load(
    images: TrainingImages,
    wanted: Callable[[], Iterable[RankBatch]],
    workers: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield the parts, their images and labels on the device.

    Workers prepare the next ones meanwhile, be they of another epoch.

    Args:
        images: Where the parts' images are.
        wanted: Returns the parts, which are asked for in the order that they are needed in.
        workers: Processes that decode and augment; 0 for this one.
        device: Where to.
    """
    loader = DataLoader(
        images,
        batch_sampler=(part.draws for part in wanted()),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # It would else draw from the generator that a tower drops by, in a process's first epoch.
        generator=torch.Generator(),
        worker_init_fn=signals.exit_on_parents_sigterm,
    )
    with signals.blocked_in_workers():
        batches = iter(loader)
    for part, (batch, labels) in zip(wanted(), batches, strict=True):
        yield part, batch.to(device, non_blocking=True), labels.to(device, non_blocking=True)
