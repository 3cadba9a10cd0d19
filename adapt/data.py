"""The training images: read from tar shards, augmented alike in every worker and process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from adapt.batches.order import IntArray, SampledImage
from adapt.batches.ranks import RankBatch
from adapt.views.augment import Augment, sample_small
from adapt.views.crops import is_small, planar
from adapt.views.masks import PatchMasks
from bench.plugins.objective import Batch
from bench.runtime import signals
from bench.storage.image_set import read_image

DECODED_BYTES = 2**30
"""Image sets that take no more memory than this are decoded once and kept."""


class TrainingImages(Dataset[Batch]):
    """The images of one run, augmented; some `SampledImage`s are the index of a batch of them.

    How an image is augmented depends on the seed, the sample, the image's key and the view's name
    alone, so it is the same in any batch, worker and process, and whatever other views there are.

    Args:
        data: The folder that the rows' shard paths are relative to.
        rows: Rows of an image set's index, as `ImageSet.select` returns them.
        augments: How to augment an image, view by view.
        seed: The run's seed.
        groups: The group of each row; None if each is one of its own.
        pairs: The pair of each row, int64 ``[rows]``, if those of one are to be adjacent.
        tokens: Texts to token ids, int64 ``[n, context]``, if captions are needed.
        masks: Which patches are masked, if any.

    Attributes:
        seed: The run's seed.
        labels: The class of each row.
        groups: The group of each row.
        pairs: The pair of each row, if they matter.
    """

    def __init__(  # noqa: PLR0913 (a batch is made of all these)
        self,
        data: Path,
        rows: pl.DataFrame,
        augments: Sequence[Augment],
        seed: int,
        *,
        groups: Sequence[int] | None = None,
        pairs: IntArray | None = None,
        tokens: Callable[[Sequence[str]], Tensor] | None = None,
        masks: PatchMasks | None = None,
    ) -> None:
        self.seed = seed
        self.pairs = pairs
        self._data = data
        self._augments = tuple(augments)
        self._tokens = tokens
        self._masks = masks
        # Plain lists: worker processes are forked, and polars' threads do not survive a fork.
        self._keys: list[str] = rows["key"].to_list()
        self.labels: list[int] = rows["label"].to_list()
        self.groups: list[int] = list(range(len(rows)) if groups is None else groups)
        self._captions: list[str] = rows["caption"].to_list() if tokens else []
        self._places = list(rows.select("shard", "offset", "size", "sha256").iter_rows())
        decoded_bytes = int((rows["width"].cast(pl.Int64) * rows["height"] * 3).sum())
        sizes = rows.select("width", "height").iter_rows()
        together = all(augment.small is not None for augment in augments)
        self._small = [together and is_small(*size) for size in sizes]
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

    def __getitem__(self, samples: Sequence[SampledImage]) -> Batch:
        """Return a batch whose views are uint8 ``[b, h, w, 3]``; see `normalise`."""
        rows = [sample.row for sample in samples]
        return _LoadedBatch(
            views=self._views(samples),
            rows=torch.tensor(rows),
            groups=torch.tensor([self.groups[row] for row in rows]),
            labels=torch.tensor([self.labels[row] for row in rows]),
            texts=self._tokens([self._captions[row] for row in rows]) if self._tokens else None,
            masks=self._masks_of(samples),
        )

    def normalise(self, batch: Batch) -> Batch:
        """Return a batch as the model takes it: views uint8 ``[b, h, w, 3]`` become float32."""
        pairs = zip(self._augments, batch.views, strict=True)
        return replace(batch, views=tuple(augment.normalise(pixels) for augment, pixels in pairs))

    def _views(self, samples: Sequence[SampledImage]) -> tuple[Tensor, ...]:
        small, large = list[int](), list[int]()
        for place, sample in enumerate(samples):
            (small if self._small[sample.row] else large).append(place)
        if not large:
            return self._small_views(samples)
        if not small:
            return self._large_views(samples)
        parts = (
            self._small_views([samples[place] for place in small]),
            self._large_views([samples[place] for place in large]),
        )
        order = torch.tensor(small + large).argsort()
        return tuple(torch.cat(pair)[order] for pair in zip(*parts, strict=True))

    def _large_views(self, samples: Sequence[SampledImage]) -> tuple[Tensor, ...]:
        pixels: list[list[Tensor]] = [[] for _ in self._augments]
        with torch.random.fork_rng(devices=()):
            for sample in samples:
                image = self._decoded.get(sample.row) or self._read(sample.row)
                for augment, of_view in zip(self._augments, pixels, strict=True):
                    of_view.append(augment.sample_large(image, self._identity(sample)))
        return tuple(map(torch.stack, pixels))

    def _small_views(self, samples: Sequence[SampledImage]) -> tuple[Tensor, ...]:
        """Return views of small images; no generator is involved."""
        images = []
        for sample in samples:
            kept = self._planar.get(sample.row)
            images.append(planar(self._read(sample.row)) if kept is None else kept)
        identities = [self._identity(sample) for sample in samples]
        return sample_small(self._augments, images, identities)

    def _masks_of(self, samples: Sequence[SampledImage]) -> Tensor | None:
        if self._masks is None:
            return None
        return torch.stack([self._masks.sample(*self._identity(each), "mask") for each in samples])

    def _identity(self, sample: SampledImage) -> tuple[object, ...]:
        """Return all that the augmentation of an image depends on, but for the view."""
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
        batch_size=None,  # An item is a batch.
        sampler=(share.samples for share in shares()),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # The default is the generator that a tower drops patches with, in the first epoch.
        generator=torch.Generator(),
        worker_init_fn=signals.exit_on_parents_sigterm,
    )
    with signals.blocked_in_workers():
        batches = iter(loader)
    for share, batch in zip(shares(), batches, strict=True):
        yield share, mapped(batch, lambda tensor: tensor.to(device, non_blocking=True))


def mapped(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch with what a function makes of each of its tensors."""
    texts, masks = batch.texts, batch.masks
    return replace(
        batch,
        views=tuple(map(function, batch.views)),
        rows=function(batch.rows),
        groups=function(batch.groups),
        labels=function(batch.labels),
        texts=None if texts is None else function(texts),
        masks=None if masks is None else function(masks),
    )


@dataclass(frozen=True)
class _LoadedBatch(Batch):
    """A batch as a `DataLoader` takes it."""

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU copies from."""
        return mapped(self, Tensor.pin_memory)
