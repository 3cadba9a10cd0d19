"""Folders that are nearly laid out as a task: what is said, and what to do."""

from pathlib import Path

import pytest
from PIL import Image

from bench.core.errors import RequestError
from bench.tasks import FolderTask


def images(root: Path, *folders: str, count: int = 1) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(root / folder / f"{index}.png")
    return root


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (["train/a", "train/b", "test/a", "test/b"],
         "split folders test, train, but not val; make val .move a fifth of each class"),
        (["train/a", "valid/a", "test/a"], "but not val; rename valid to val"),
        (["train/a", "dev/a", "eval/a"], "but not val, test; rename dev to val; rename eval to"),
        (["Train/a", "VAL/a", "test/a"], "not train, val; rename Train to train; rename VAL to"),
        (["train/a", "train/b"], "but not val, test; make val .*; make test"),
        (["train", "test"], "has the split folders test, train, but not val"),
        (["train/a", "train/b", "extra"], "has the split folders train, but not val, test"),
        (["data/train/a", "data/val/a", "data/test/a"], "1 class folders; .* --task .*/data$"),
        (["data/a", "data/b"], "1 class folders; .* --task .*/data$"),
        (["train/x/a", "val/x/a", "test/x/a"], "1 class folders; a task needs two, as CLASS/IMAGE"),
        ([], "0 class folders; a task needs two, as CLASS/IMAGE"),
    ],
)  # fmt: skip
def test_a_folder_that_is_nearly_a_task_says_how_to_mend_it(
    tmp_path: Path, folders: list[str], complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        FolderTask.load(images(tmp_path, *folders))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    task = FolderTask.load(images(tmp_path, "train", "bus", "car/old", count=40))
    assert task.class_names == ("bus", "car", "train")


def test_few_images_without_split_folders_are_told_from_an_absent_class(tmp_path: Path) -> None:
    dealt = r"of the 1 images of class 'b' in .* none is in the split .*: without folders train"
    images(tmp_path / "flat", "a", count=40)
    with pytest.raises(RequestError, match=dealt):
        FolderTask.load(images(tmp_path / "flat", "b"))
    with pytest.raises(RequestError, match="class 'b' has no images in split val"):
        FolderTask.load(images(tmp_path / "cut", "train/a", "train/b", "val/a", "test/a", "test/b"))
