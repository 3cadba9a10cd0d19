"""Decoded images on disk: the same floats, decoded once, whole or not there."""

import io
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from open_clip.transform import AugmentationCfg, image_transform
from PIL.Image import Image
from timm.data.transforms_factory import create_transform
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Split, Task
from eval.features import task_images
from eval.features.pixels import Preprocessing
from eval.features.task_images import TaskImages
from tests.support.pictures import photograph

CLIP = image_transform(32, is_train=False)
N = 300
FORK = multiprocessing.get_context("fork")


class Room(NamedTuple):
    """What `shutil.disk_usage` says of a full disk."""

    free: int


class Counted(Task, frozen=True, kw_only=True):
    """A task that writes down each image that is decoded, and may kill the process at one."""

    log: str
    content: str = ""
    file: str = ""

    def open_split(self, name: str, home: Home) -> Split:
        """Open the one split there is."""
        labels = np.zeros(N, np.int64)
        files = [Path(self.file)] if self.file else []
        keys = [f"{name}/{row}" for row in range(N)]
        return Split(name, keys, labels, self._read, files=files)

    def _read(self, row: int) -> Image:
        die = Path(f"{self.log}.die")
        if die.exists() and row == int(die.read_text()):
            os._exit(9)
        with Path(self.log).open("a") as stream:
            stream.write(f"{row}\n")
        return photograph(row, (90 + row % 7, 60 + row % 5))


@pytest.fixture(autouse=True)
def _small_splits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_images, "LEAST_PIXEL_BYTES", 0)
    monkeypatch.setattr(task_images, "KEPT_BYTES", 0)


@pytest.fixture
def task(tmp_path: Path) -> Counted:
    names, texts = ("a", "b"), ("a photo of a {}.",)
    return Counted(
        name="counted",
        version=1,
        class_names=names,
        templates=texts,
        domain_texts=("a photo.",),
        log=str(tmp_path / "decoded"),
    )


def decoded(task: Counted) -> int:
    path = Path(task.log)
    return len(path.read_text().splitlines()) if path.exists() else 0


def epoch(
    task: Counted, root: Path, preprocess: Callable[[Image], Tensor] = CLIP, split: str = "val"
) -> Tensor:
    """Return a split as a new process would see it."""
    return torch.cat([*TaskImages(task, Home(root), preprocess).batches(split)])


def stages(root: Path) -> list[Path]:
    return sorted((root / "data").glob("pixels-*"))


KNOWN = {
    "shortest": CLIP,
    "longest": image_transform(32, is_train=False, resize_mode="longest"),
    "padded": image_transform(32, is_train=False, resize_mode="longest", fill_color=200),
    "squash": image_transform(32, is_train=False, resize_mode="squash", interpolation="bilinear"),
    "not square": image_transform((32, 48), is_train=False),
    "SigLIP": image_transform(32, is_train=False, mean=(0.5,) * 3, std=(0.5,) * 3),
    "timm": create_transform((3, 40, 40), is_training=False, crop_pct=0.9),
}


@pytest.mark.parametrize("name", KNOWN)
def test_images_are_the_same_to_the_bit(task: Counted, tmp_path: Path, name: str) -> None:
    preprocess = KNOWN[name]
    split = task.split("val", Home(tmp_path))
    bare = torch.stack([preprocess(split.read(row)) for row in range(N)])
    assert torch.equal(epoch(task, tmp_path, preprocess), bare)
    assert decoded(task) == 2 * N
    assert torch.equal(epoch(task, tmp_path, preprocess), bare)
    assert decoded(task) == 2 * N


def test_every_level_is_normalised_to_the_same_bit() -> None:
    halves = Preprocessing.of(CLIP)
    assert halves is not None
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    last = torch.nn.Sequential(*CLIP.transforms[-1:])
    expected = last(torch.from_numpy(levels[0]).permute(2, 0, 1).float().div(255))
    assert torch.equal(halves.normalised(levels)[0], expected)


@pytest.mark.parametrize(
    "preprocess",
    [
        image_transform(32, is_train=True, aug_cfg=AugmentationCfg(scale=(0.9, 1.0))),
        create_transform((3, 32, 32), is_training=True),
        CLIP.__call__,
    ],
    ids=["open_clip's training", "timm's training", "a function"],
)
def test_a_preprocessing_with_chance_or_unknown_is_used_as_it_is(
    task: Counted, tmp_path: Path, preprocess: Callable[[Image], Tensor]
) -> None:
    assert Preprocessing.of(preprocess) is None
    for count in (1, 2):
        assert epoch(task, tmp_path, preprocess).shape == (N, 3, 32, 32)
        assert decoded(task) == count * N
    assert not stages(tmp_path)


def test_small_splits_and_those_that_fit_the_memory_are_kept_as_before(
    task: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = N * 32 * 32 * 3
    monkeypatch.setattr(task_images, "LEAST_PIXEL_BYTES", size)
    epoch(task, tmp_path)
    assert not stages(tmp_path)
    monkeypatch.setattr(task_images, "LEAST_PIXEL_BYTES", size - 1)
    monkeypatch.setattr(task_images, "KEPT_BYTES", 2**30)
    images = TaskImages(task, Home(tmp_path), CLIP)
    first, again = ([*images.batches("val")] for _ in range(2))
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert len(stages(tmp_path)) == 1


def test_other_content_splits_and_crops_are_kept_apart(task: Counted, tmp_path: Path) -> None:
    epoch(task, tmp_path)
    epoch(task, tmp_path, split="test")
    epoch(task, tmp_path, KNOWN["longest"])
    epoch(task, tmp_path, KNOWN["padded"])
    fields = {name: getattr(task, name) for name in task.__struct_fields__}
    epoch(Counted(**fields | {"content": "other"}), tmp_path)
    assert len(stages(tmp_path)) == 5
    assert decoded(task) == 5 * N
    epoch(task, tmp_path, KNOWN["SigLIP"])  # Differs in what comes after the crop.
    assert decoded(task) == 5 * N


def test_files_that_were_replaced_are_decoded_anew(task: Counted, tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_bytes(b"one")
    fields = {name: getattr(task, name) for name in task.__struct_fields__}
    published = Counted(**fields | {"file": str(tmp_path / "images.tar")})

    def key() -> str:
        return TaskImages(published, Home(tmp_path), CLIP).key("val")

    before = key()
    for _ in range(2):
        epoch(published, tmp_path)
    assert key() == before
    assert decoded(task) == N
    (tmp_path / "images.tar").write_bytes(b"other")
    epoch(published, tmp_path)
    assert decoded(task) == 2 * N
    assert key() != before


def test_what_a_killed_process_began_is_made_again(task: Counted, tmp_path: Path) -> None:
    process = FORK.Process(target=epoch, args=(task, tmp_path))
    Path(f"{task.log}.die").write_text("290")
    process.start()
    process.join()
    assert process.exitcode == 9
    Path(f"{task.log}.die").unlink()
    before = decoded(task)
    assert 0 < before < N
    assert len(epoch(task, tmp_path)) == N
    assert decoded(task) == before + N
    assert [path.name for path in stages(tmp_path)[0].iterdir() if path.is_dir()] == ["00000"]


def test_of_processes_that_ask_at_once_one_decodes(task: Counted, tmp_path: Path) -> None:
    processes = [FORK.Process(target=epoch, args=(task, tmp_path)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert decoded(task) == N


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_damaged_file_is_one_line(task: Counted, tmp_path: Path, kept: int) -> None:
    epoch(task, tmp_path)
    (file,) = (tmp_path / "data").glob("pixels-*/00000/*")
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(BenchError, match=r"pixels\.npy is damaged; remove .*/pixels-.* made again"):
        epoch(task, tmp_path)


def test_the_room_is_said_and_without_it_images_are_decoded(
    task: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    images = TaskImages(task, Home(tmp_path), CLIP, Progress(said))
    next(iter(images.batches("val")))
    assert "300 images of counted, val: 0.0 GB decoded are kept in" in said.getvalue()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Room(0))
    said = io.StringIO()
    images = TaskImages(task, Home(tmp_path), KNOWN["squash"], Progress(said))
    assert len(next(iter(images.batches("val")))) == 256
    assert "more than half of the 0.0 GB free" in said.getvalue()
    assert len(stages(tmp_path)) == 1
