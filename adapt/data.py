"""The training images: read from tar shards, augmented alike in every worker and process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from adapt.augment import Augment
from adapt.crops import NUMBERS, is_small, planar
from adapt.order import SampledImage, stable_numbers, stable_seed
from adapt.ranks import RankBatch
from bench.plugins.objective import Batch
from bench.runtime import signals
from bench.storage.image_set import read_image

DECODED_BYTES = 2**30
"""Image sets that take no more memory than this are decoded once and kept."""


Sample = tuple[Tensor, int]
"""An augmented image, uint8 ``[h, w, 3]``, and its row."""


class TrainingImages(Dataset[Sample]):
    """The images of one run, augmented; a `SampledImage` is the index of an item.

    How an image is augmented depends on the seed, the sample and the image's key alone, so it is
    the same in any batch, worker and process.

    Args:
        data: The folder that the rows' shard paths are relative to.
        rows: Rows of an image set's index, as `ImageSet.select` returns them.
        augment: How to augment an image.
        seed: The run's seed.
    """

    def __init__(self, data: Path, rows: pl.DataFrame, augment: Augment, seed: int) -> None:
        self.seed = seed
        self.augment = augment
        self._data = data
        # Plain lists: worker processes are forked, and polars' threads do not survive a fork.
        self._keys: list[str] = rows["key"].to_list()
        self.labels: list[int] = rows["label"].to_list()
        self.groups = list(range(rows.height))
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

    def __getitem__(self, sample: SampledImage) -> Sample:
        return self.__getitems__([sample])[0]

    def __getitems__(self, samples: Sequence[SampledImage]) -> list[Sample]:
        """Return several images, augmented."""
        small = [sample for sample in samples if self._small[sample.row]]
        with torch.random.fork_rng(devices=()):
            pixels = {s: self._augment(s) for s in samples if not self._small[s.row]}
        pixels.update(zip(small, self._augment_small(small), strict=True))
        return [(pixels[sample], sample.row) for sample in samples]

    def normalise(self, batch: Batch) -> Batch:
        """Return a batch as the model takes it: views uint8 ``[b, h, w, 3]`` become float32."""
        return replace(batch, views=tuple(map(self.augment.normalise, batch.views)))

    def _augment(self, sample: SampledImage) -> Tensor:
        torch.default_generator.manual_seed(stable_seed(*self._identity(sample)))
        image = self._decoded.get(sample.row) or self._read(sample.row)
        return self.augment.sample(image)

    def _augment_small(self, samples: Sequence[SampledImage]) -> Iterable[Tensor]:
        """Return crops of small images; no generator is involved."""
        if not samples or self.augment.small is None:
            return ()
        images = []
        for sample in samples:
            kept = self._planar.get(sample.row)
            images.append(planar(self._read(sample.row)) if kept is None else kept)
        numbers = [stable_numbers(NUMBERS, *self._identity(sample)) for sample in samples]
        return self.augment.small.sample(images, numbers)

    def _identity(self, sample: SampledImage) -> tuple[object, ...]:
        """Return all that the augmentation of an image depends on."""
        again = (sample.copy,) if sample.copy else ()
        return (self.seed, sample.pass_index, self._keys[sample.row], *again)

    def _read(self, row: int) -> Image:
        return read_image(self._data, *self._places[row])


def load(
    images: TrainingImages,
    shares: Callable[[], Iterable[RankBatch]],
    workers: int,
    device: torch.device,
) -> Iterator[tuple[RankBatch, Batch]]:
    """Yield batches on the device, their views uint8 ``[b, h, w, 3]``.

    Workers prepare the next ones meanwhile, those of the next epoch included.

    Args:
        images: The images to take them from.
        shares: Returns this process's share of each batch, in order; called twice.
        workers: Processes that decode and augment; 0 means in this one.
        device: Where the batches are needed.
    """
    loader = DataLoader(
        images,
        batch_sampler=(share.samples for share in shares()),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # The default is the generator that a tower drops patches with, in the first epoch.
        generator=torch.Generator(),
        worker_init_fn=signals.exit_on_parents_sigterm,
    )
    with signals.blocked_in_workers():
        batches = iter(loader)
    labels, groups = torch.tensor(images.labels), torch.tensor(images.groups)
    for share, (pixels, rows) in zip(shares(), batches, strict=True):
        tensors = (pixels, rows, groups[rows], labels[rows])
        view, *others = (tensor.to(device, non_blocking=True) for tensor in tensors)
        yield share, Batch((view,), *others)
