"""Views, captions and masks of training images: each a function of seed, sample, key and name."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import open_clip
import polars as pl
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, Normalize, ToTensor

from adapt.batches.order import BatchSchedule, SampledImage
from adapt.batches.ranks import RankBatch, rank_batches
from adapt.data import TrainingImages, load
from adapt.models import load_clip
from adapt.training_images import training_images
from adapt.views.augment import Augment
from adapt.views.masks import PatchMasks
from bench.core.errors import BenchError
from bench.core.specs import TrainSpec
from bench.plugins import Batch, Masks, Needs, View
from bench.storage.image_set import ImageSet
from tests.support.noise_images import write_pictures
from tests.support.tiny_clip import colour_task, write_colours, write_tiny_clip

torch.set_num_threads(1)
STRONG = View(name="strong", area=(0.3, 1.0), recipe="simclr")
GLOBAL = View(name="global", area=(0.32, 1.0), recipe="byol")
LOCAL = View(name="local", size=0.5, area=(0.05, 0.32), recipe="byol")
TASK = colour_task()


@pytest.fixture(scope="module", params=[(48, 32), (96, 80)], ids=["together", "one by one"])
def pictures(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ImageSet, int]:
    """Return images, and the side of the model that takes them: small ones, and for Pillow."""
    side, size = request.param
    return write_pictures(tmp_path_factory.mktemp("views") / "data", 12, side, ".png"), size


def images_of(
    pictures: tuple[ImageSet, int], views: Sequence[View] = (View(),), **options: Any
) -> TrainingImages:
    image_set, size = pictures
    transform = open_clip.image_transform(size, is_train=True)
    augments = [Augment.of(transform, view=view) for view in views]
    assert all((augment.small is not None) == (size == 32) for augment in augments)
    return TrainingImages(image_set.data, image_set.index(), augments, 3, **options)


def samples(*rows: int) -> list[SampledImage]:
    return [SampledImage(1, row) for row in rows]


def test_the_view_without_a_name_is_what_it_always_was(pictures: tuple[ImageSet, int]) -> None:
    """The hashes are those of the code that knew one view, and the weights of old runs are its."""
    images = images_of(pictures, (STRONG, View(), LOCAL))
    (first,) = images[samples(2)].views[1]
    (second,) = images[[SampledImage(2, 3, copy=1)]].views[1]
    hashes = [hashlib.sha256(each.numpy().tobytes()).hexdigest()[:16] for each in (first, second)]
    known = {
        32: ["a6f2d7b006a2edb1", "1d276bb0cbde5b22"],
        80: ["86289b0751de29cf", "9e1aa7a2461a1c47"],
    }
    assert hashes == known[pictures[1]]


def test_a_view_does_not_depend_on_the_others(pictures: tuple[ImageSet, int]) -> None:
    size = pictures[1]
    chosen = samples(0, 5, 7)
    few = images_of(pictures, (View(), GLOBAL))[chosen].views
    more = images_of(pictures, (LOCAL, GLOBAL, STRONG, View()))[chosen].views
    assert torch.equal(few[0], more[3])
    assert torch.equal(few[1], more[1])
    assert [view.shape for view in more] == [
        (3, side, side, 3) for side in (size // 2, *[size] * 3)
    ]


def test_crops_that_are_made_together_are_those_that_each_is_alone(
    pictures: tuple[ImageSet, int],
) -> None:
    crops = [View(name=f"local-{n}", size=0.5, area=(0.05, 0.32), recipe="byol") for n in range(3)]
    other = View(name="local-3", size=0.5, area=(0.05, 0.32), recipe="byol", downsample=1.0)
    together = images_of(pictures, (crops[0], STRONG, crops[1], other, crops[2]))
    views = together[samples(*range(12))].views
    for view, found in zip((crops[0], STRONG, crops[1], other, crops[2]), views, strict=True):
        (alone,) = images_of(pictures, (view,))[samples(*range(12))].views
        assert torch.equal(found, alone)
        assert found.is_contiguous()


def test_views_are_samples_of_their_own(pictures: tuple[ImageSet, int]) -> None:
    again = View(name="again")
    views = images_of(
        pictures, (View(), again, STRONG, View(name="other", area=(0.3, 1), recipe="simclr"))
    )
    plain, plain_again, strong, other = views[samples(4)].views
    assert not torch.equal(plain, plain_again)
    assert not torch.equal(strong, other)
    assert not torch.equal(strong, views[[SampledImage(2, 4)]].views[2])
    assert not torch.equal(strong, views[[SampledImage(1, 4, copy=1)]].views[2])


def test_a_view_is_the_same_to_the_bit_in_any_batch(pictures: tuple[ImageSet, int]) -> None:
    images = images_of(pictures, (View(), STRONG, GLOBAL, LOCAL))
    together = images[samples(*range(12))]
    for row in range(12):
        for one, all_ in zip(images[samples(row)].views, together.views, strict=True):
            assert torch.equal(one[0], all_[row])
    backwards = images[samples(*reversed(range(12)))]
    for one, other in zip(backwards.views, together.views, strict=True):
        assert torch.equal(one.flip(0), other)


def tokens(texts: Sequence[str]) -> Tensor:
    return torch.tensor([[len(text), ord(text[-1])] for text in texts])


def loaded(images: TrainingImages, workers: int, rank: int = 0, ranks: int = 1) -> list[Batch]:
    batches = BatchSchedule(TrainSpec(batch_size=5), images.labels, 0).batches(1)

    def shares() -> Iterator[RankBatch]:
        return rank_batches(batches, rank, ranks)

    return [batch for _, batch in load(images, shares, workers, torch.device("cpu"))]


def by_row(*batches: Batch) -> dict[int, tuple[Any, ...]]:
    """Return everything about each image, as plain lists."""
    found: dict[int, tuple[Any, ...]] = {}
    for batch in batches:
        tensors = [*batch.views, batch.groups, batch.labels, batch.texts, batch.masks]
        columns = [tensor.tolist() for tensor in tensors if tensor is not None]
        found |= dict(zip(batch.rows.tolist(), zip(*columns, strict=True), strict=True))
    return found


def test_workers_and_processes_change_nothing(tmp_path: Path) -> None:
    image_set = write_colours(tmp_path, 12, TASK)
    rows = image_set.index()
    transform = open_clip.image_transform(16, is_train=True)
    augments = [Augment.of(transform, view=view) for view in (View(), STRONG, LOCAL)]
    images = TrainingImages(
        image_set.data,
        rows,
        augments,
        0,
        groups=[row // 2 for row in range(12)],
        tokens=tokens,
        masks=PatchMasks(Masks(), (4, 4)),
    )
    alone = loaded(images, 0)
    assert [len(batch) for batch in alone] == [5, 5, 2]
    expected = by_row(*alone)
    for workers in (1, 2):
        assert by_row(*loaded(images, workers)) == expected
    assert by_row(*loaded(images, 0, 0, 2), *loaded(images, 1, 1, 2)) == expected
    for row, (*_, group, label, text, mask) in expected.items():
        caption = rows["caption"][row]
        assert [group, label, text] == [
            row // 2,
            rows["label"][row],
            [len(caption), ord(caption[-1])],
        ]
        assert sum(mask) in {0, 8}


def test_masks_are_others_in_each_pass_copy_and_run(tmp_path: Path) -> None:
    image_set = write_colours(tmp_path, 12, TASK)
    augments = [Augment.of(open_clip.image_transform(16, is_train=True))]
    # All images are masked, so that equal masks of all twelve are no chance.
    masks = PatchMasks(Masks(images=1.0), (4, 4))

    def found(seed: int, *sample: int) -> Tensor:
        images = TrainingImages(image_set.data, image_set.index(), augments, seed, masks=masks)
        pass_index, *copy = sample
        of = images[[SampledImage(pass_index, row, *copy) for row in range(12)]].masks
        assert of is not None
        return of

    first = found(0, 1)
    assert torch.equal(found(0, 1), first)
    for other in (found(1, 1), found(0, 2), found(0, 1, 1)):
        assert not torch.equal(other, first)


def test_sizes_of_images_may_be_mixed_in_a_batch(tmp_path: Path) -> None:
    """Small images go together, large ones one by one; each comes out as it does alone."""
    parts = []
    for side in (48, 96):
        rows = write_pictures(tmp_path / str(side), 4, side, ".png").index()
        parts.append(rows.with_columns(shard=pl.lit(f"{side}/00000.tar")))
    rows = pl.concat(parts)
    transform = open_clip.image_transform(32, is_train=True)
    augments = [Augment.of(transform, view=view) for view in (View(), STRONG)]
    images = TrainingImages(tmp_path, rows, augments, 0)
    order = [5, 0, 7, 2, 1, 4]
    together = images[samples(*order)]
    for place, row in enumerate(order):
        for one, all_ in zip(images[samples(row)].views, together.views, strict=True):
            assert torch.equal(one[0], all_[place])


def test_views_are_normalised_as_the_model_s_images(tmp_path: Path) -> None:
    clip = load_clip(write_tiny_clip(tmp_path / "clip"))
    image_set = write_colours(tmp_path / "data", 6, TASK)
    needs = Needs(views=(View(), GLOBAL, LOCAL), texts=True)
    rows = image_set.index()
    images = training_images(image_set.data, rows, clip, needs, crop="square", seed=0)
    raw = images[samples(0, 3)]
    batch = images.normalise(raw)
    transform: Any = clip.preprocess_train
    normalise = transform.transforms[-1]
    for pixels, view in zip(raw.views, batch.views, strict=True):
        assert view.dtype == torch.float32
        assert torch.equal(view, normalise(pixels.permute(0, 3, 1, 2) / 255))
    assert batch.texts is not None
    assert torch.equal(batch.texts, clip.tokens(rows["caption"].gather([0, 3]).to_list()))


def test_smaller_views_are_of_whole_patches() -> None:
    transform, local = open_clip.image_transform(224, is_train=True), View(name="a", size=96 / 224)
    image = Image.new("RGB", (256, 256))
    for patch, side in ((1, 96), (14, 98), (16, 96), (32, 96), (224, 224)):
        augment = Augment.of(transform, view=local, patch=(patch, patch))
        assert augment.sample(image).shape == (side, side, 3)


def test_wrong_views_are_refused(tmp_path: Path) -> None:
    clip = load_clip(write_tiny_clip(tmp_path / "clip"))
    image_set = write_colours(tmp_path / "data", 3, TASK)

    def refused(*views: View, masks: Masks | None = None) -> str:
        needs = Needs(views=views, masks=masks)
        with pytest.raises(BenchError) as error:
            training_images(image_set.data, image_set.index(), clip, needs, crop="square", seed=0)
        return str(error.value)

    assert "have one name: 'local', 'local'" in refused(LOCAL, LOCAL)
    assert "smaller than the model's" in refused(LOCAL, GLOBAL, masks=Masks())
    other = Compose([CenterCrop(16), ToTensor(), Normalize([0.5] * 3, [0.2] * 3)])
    with pytest.raises(BenchError, match="begins with CenterCrop, not RandomResizedCrop"):
        Augment.of(other, view=STRONG)
