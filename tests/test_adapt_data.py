"""The training images: augmentation, order, and how batches are cut."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import Compose, RandomResizedCrop, ToTensor

from adapt import data as data_module
from adapt.data import TrainingImages, epoch_order, load, pieces
from bench.errors import BenchError
from bench.manifest import ImageSet
from tests.tiny_clip import colour_task, write_colours

torch.set_num_threads(1)
AUGMENT = Compose([RandomResizedCrop(16, scale=(0.5, 1.0)), ToTensor()])
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def image_set(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return write_colours(tmp_path_factory.mktemp("data"), 12, colour_task())


def training_images(image_set: ImageSet, seed: int = 0) -> TrainingImages:
    return TrainingImages(image_set.data, image_set.select(None, 0, "random"), AUGMENT, seed)


def test_augmentation_depends_on_seed_epoch_and_key_alone(image_set: ImageSet) -> None:
    images = training_images(image_set)
    first, label = images[1, 4]
    torch.rand(7)
    again, _ = images[1, 4]
    assert torch.equal(first, again)
    assert label == image_set.select(None, 0, "random")["label"][4]
    assert not torch.equal(first, images[2, 4][0])
    assert not torch.equal(first, training_images(image_set, seed=1)[1, 4][0])


def test_augmentation_follows_the_key_into_another_subset(image_set: ImageSet) -> None:
    rows = image_set.select(None, 0, "random")
    few = TrainingImages(image_set.data, rows[4:6], AUGMENT, 0)
    assert torch.equal(few[1, 0][0], training_images(image_set)[1, 4][0])


def test_augmentation_leaves_the_global_generator_alone(image_set: ImageSet) -> None:
    images = training_images(image_set)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    images[1, 0]
    assert torch.equal(torch.rand(3), expected)


def test_workers_and_memory_change_nothing(
    image_set: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = list(pieces(epoch_order(0, 1, 12), 1, 8, 3, 0, 1))
    kept = [pixels for _, pixels, _ in load(training_images(image_set), parts, 0, CPU)]
    monkeypatch.setattr(data_module, "DECODED_BYTES", 0)
    read = [pixels for _, pixels, _ in load(training_images(image_set), parts, 2, CPU)]
    assert all(torch.equal(*pair) for pair in zip(kept, read, strict=True))


def test_corrupt_shard_is_a_clear_error(tmp_path: Path) -> None:
    image_set = write_colours(tmp_path, 3, colour_task())
    shard = tmp_path / "00000.tar"
    content = bytearray(shard.read_bytes())
    content[600] ^= 255
    shard.write_bytes(content)
    with pytest.raises(BenchError, match="corrupt"):
        training_images(image_set)


def test_order_is_a_permutation_that_seed_and_epoch_fix() -> None:
    order = epoch_order(1, 2, 50)
    assert sorted(order) == list(range(50))
    assert order == epoch_order(1, 2, 50)
    assert order != epoch_order(1, 3, 50)
    assert order != epoch_order(2, 2, 50)


@given(
    n=st.integers(1, 40),
    batch=st.integers(1, 17),
    micro=st.integers(1, 17),
    ranks=st.integers(1, 4),
)
def test_pieces_of_all_processes_make_up_each_batch(
    n: int, batch: int, micro: int, ranks: int
) -> None:
    order = list(range(n))
    steps: list[list[list[tuple[float, list[int]]]]] = []
    for rank in range(ranks):
        mine: list[list[tuple[float, list[int]]]] = [[]]
        for piece in pieces(order, 5, batch, micro, rank, ranks):
            assert 0 < len(piece.draws) <= micro
            assert {epoch for epoch, _ in piece.draws} == {5}
            mine[-1].append((piece.weight, [row for _, row in piece.draws]))
            if piece.last:
                mine.append([])
        assert mine.pop() == []
        steps.append(mine)
    assert {len(mine) for mine in steps} == {-(-n // batch)}
    for number, parts in enumerate(zip(*steps, strict=True)):
        flat = [part for process in parts for part in process]
        rows = sorted(row for weight, taken in flat if weight for row in taken)
        assert rows == order[number * batch : (number + 1) * batch]
        assert sum(weight for weight, _ in flat) == pytest.approx(1.0)
        for weight, taken in flat:
            assert weight in (0.0, pytest.approx(len(taken) / len(rows)))
