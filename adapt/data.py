"""The training images: read from tar shards, augmented the same way wherever they are read."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.manifest import read_image

DECODED_BYTES = 2**30
"""Sets that take no more memory than this, decoded, are decoded once and kept."""

Draw = tuple[int, int]
"""An epoch and an image's row."""


class TrainingImages(Dataset[tuple[Tensor, int]]):
    """The images of one run, augmented; an item is named by its epoch and its row.

    What augmentation does to an image depends on the seed, the epoch and the image's key, so it is
    the same in any batch, worker and process.

    Args:
        data: The folder that the rows' shard paths are relative to.
        rows: Rows of an image set's index, as `ImageSet.select` returns them.
        augment: PIL image to float32 ``[3, h, w]``; draws from torch's generator.
        seed: The run's seed.
    """

    def __init__(
        self, data: Path, rows: pl.DataFrame, augment: Callable[[Image], Tensor], seed: int
    ) -> None:
        self.seed = seed
        self._data = data
        self._augment = augment
        # Plain lists: worker processes are forked, and polars' threads do not survive a fork.
        self._keys: list[str] = rows["key"].to_list()
        self._labels: list[int] = rows["label"].to_list()
        self._places = list(rows.select("shard", "offset", "size", "sha256").iter_rows())
        decoded_bytes = int((rows["width"].cast(pl.Int64) * rows["height"] * 3).sum())
        keep = decoded_bytes <= DECODED_BYTES
        self._decoded = [self._read(row) for row in range(len(self))] if keep else None

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int]:
        epoch, row = draw
        image = self._decoded[row] if self._decoded is not None else self._read(row)
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(stable_seed(self.seed, epoch, self._keys[row]))
            return self._augment(image), self._labels[row]

    def _read(self, row: int) -> Image:
        return read_image(self._data, *self._places[row])


@dataclass(frozen=True)
class Piece:
    """What one process takes through one forward pass: a part of a training batch.

    Attributes:
        draws: The images.
        weight: The part's share of the batch.
        last: Whether the process's part of the batch ends here, and a step is taken.
    """

    draws: list[Draw]
    weight: float
    last: bool


def epoch_order(seed: int, epoch: int, n: int) -> list[int]:
    """Return the order in which an epoch visits n images: a function of seed and epoch alone."""
    generator = np.random.default_rng(stable_seed(seed, epoch, "order"))
    rows: list[int] = generator.permutation(n).tolist()
    return rows


def pieces(
    order: list[int], epoch: int, batch: int, micro: int, rank: int, ranks: int
) -> Iterator[Piece]:
    """Cut an epoch into batches, a batch among processes, and a process's part to fit memory.

    Args:
        order: The rows of every image, in the epoch's order.
        epoch: The epoch.
        batch: Images in one optimiser step, over all processes.
        micro: Images in one forward pass.
        rank: This process.
        ranks: How many processes there are.
    """
    for start in range(0, len(order), batch):
        whole = [(epoch, row) for row in order[start : start + batch]]
        mine = whole[rank::ranks]
        if not mine:  # Every process must join each step's all-reduce, if only with a zero.
            yield Piece(whole[:1], 0.0, last=True)
        for first in range(0, len(mine), micro):
            draws = mine[first : first + micro]
            yield Piece(draws, len(draws) / len(whole), last=first + micro >= len(mine))


def load(
    images: TrainingImages, parts: list[Piece], workers: int, device: torch.device
) -> Iterator[tuple[Piece, Tensor, Tensor]]:
    """Yield each piece with its images, float32 ``[b, 3, h, w]``, and labels, int64 ``[b]``.

    They are on the device; with workers, the next ones are prepared meanwhile.
    """
    loader = DataLoader(
        images,
        batch_sampler=[part.draws for part in parts],
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    for part, (batch, labels) in zip(parts, loader, strict=True):
        yield part, batch.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def stable_seed(*parts: object) -> int:
    """Return 63 bits that depend on the parts alone."""
    content = "\0".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1
