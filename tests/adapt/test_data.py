"""The training images: augmented alike wherever they are read."""

from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from torchvision.transforms import Compose, Normalize, RandomResizedCrop, ToTensor

from adapt import data as data_module
from adapt.batches.order import BatchSchedule, SampledImage
from adapt.batches.ranks import RankBatch, rank_batches
from adapt.data import TrainingImages, load
from adapt.models import load_clip
from adapt.views.augment import Augment
from bench.core.errors import BenchError
from bench.core.specs import TrainSpec
from bench.storage.image_set import ImageSet
from tests.support.tiny_clip import colour_task, square, write_colours, write_tiny_clip

torch.set_num_threads(1)
CROP = RandomResizedCrop(16, scale=(0.5, 1.0))
AUGMENT = Augment.of(Compose([CROP, ToTensor(), Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])]))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def image_set(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return write_colours(tmp_path_factory.mktemp("data"), 12, colour_task())


@pytest.fixture(autouse=True, params=["one by one", "together"])
def augment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crop by Pillow, or, as the images are small, many at a time."""
    if request.param == "together":
        transform = open_clip.image_transform(16, is_train=True)
        monkeypatch.setitem(globals(), "AUGMENT", Augment.of(transform))
        assert AUGMENT.small is not None


def training_images(image_set: ImageSet, seed: int = 0) -> TrainingImages:
    return TrainingImages(image_set.data, image_set.select(None, 0, "random"), [AUGMENT], seed)


def test_augmentation_depends_on_seed_epoch_and_key_alone(image_set: ImageSet) -> None:
    images, rows = training_images(image_set), image_set.select(None, 0, "random")
    (first,) = images[[SampledImage(1, 4)]].views
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    (again,) = images[[SampledImage(1, 4)]].views
    assert torch.equal(torch.rand(3), expected), "the global generator is left alone"
    few = TrainingImages(image_set.data, rows[4:6], [AUGMENT], 0)
    for same in (again, few[[SampledImage(1, 0)]].views[0]):
        assert torch.equal(first, same)
    others = images[[SampledImage(2, 4)]], images[[SampledImage(1, 4, copy=1)]]
    for other in (*others, training_images(image_set, seed=1)[[SampledImage(1, 4)]]):
        assert not torch.equal(first, other.views[0])


def test_a_batch_says_which_images_it_has(image_set: ImageSet) -> None:
    images, rows = training_images(image_set), image_set.select(None, 0, "random")
    batch = images[[SampledImage(1, row) for row in (4, 0, 7)]]
    assert batch.rows.tolist() == batch.groups.tolist() == [4, 0, 7]
    assert batch.labels.tolist() == rows["label"].gather([4, 0, 7]).to_list()
    assert batch.texts is None
    assert batch.masks is None


def test_workers_and_memory_change_nothing(
    image_set: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = BatchSchedule(TrainSpec(batch_size=5), [0] * 12, 0).batches(1)

    def shares() -> Iterator[RankBatch]:
        return rank_batches(batches, 0, 1)

    kept = [batch.views[0] for _, batch in load(training_images(image_set), shares, 0, CPU)]
    monkeypatch.setattr(data_module, "DECODED_BYTES", 0)
    read = [batch.views[0] for _, batch in load(training_images(image_set), shares, 2, CPU)]
    assert [len(pixels) for pixels in kept] == [5, 5, 2]
    assert all(torch.equal(*pair) for pair in zip(kept, read, strict=True))


def test_corrupt_shard_is_a_clear_error(tmp_path: Path) -> None:
    image_set = write_colours(tmp_path, 3, colour_task())
    shard = tmp_path / "00000.tar"
    content = bytearray(shard.read_bytes())
    content[600] ^= 255
    shard.write_bytes(content)
    with pytest.raises(BenchError, match="corrupt"):
        training_images(image_set)


def test_halves_of_the_transform_equal_open_clips_to_the_bit(tmp_path: Path) -> None:
    transform = load_clip(write_tiny_clip(tmp_path)).preprocess_train
    halves, image = Augment.of(transform), square(1, 7)
    torch.manual_seed(3)
    expected = transform(image)
    torch.manual_seed(3)
    augmented = halves.sample(image)
    assert augmented.dtype == torch.uint8
    assert torch.equal(halves.normalise(augmented[None])[0], expected)


def test_transform_of_another_shape_is_refused() -> None:
    with pytest.raises(BenchError, match="ends in ToTensor, not Normalize"):
        Augment.of(Compose([CROP, ToTensor()]))
