"""Folders as people have them: which images are of which split and class, or what is wrong."""

from pathlib import Path

import pytest
from PIL import Image

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.tasks import FolderTask


def images(root: Path, *folders: str, count: int = 1) -> Path:
    """Put images of different content into folders."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for index in range(count):
            seed = sum(folder.encode()) % 251
            Image.new("RGB", (8, 8), (index, seed, len(folder))).save(
                root / folder / f"{index}.png"
            )
    return root


def keys(task: FolderTask, split: str) -> list[str]:
    return list(task.split(split, Home(Path("unused"))).keys)


def of_class(task: FolderTask, split: str, name: str) -> int:
    return int((task.split(split, Home(Path("unused"))).labels == task.label(name)).sum())


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (["train/a", "dev/a", "eval/a"], "eval may be val or test; rename it"),
        (["train/a", "val/a", "valid/a"], "folders val and valid, which both mean val; join"),
        (["train", "test"], "train has images, but no class folders; sort them as CLASS/IMAGE"),
        (["train", "bus", "car"], "train has images, but no class folders"),
        (["train/a", "train/b", "test/"], "test has no images; remove it, and its im"),
        (["a/train", "a/test", "b/train"], "have folders test, train in them; move them: test"),
        (["data/train/a", "data/val/a", "data/test/a"], "1 class; .* --task .*/data$"),
        (["data/a", "data/b"], "1 class; .* --task .*/data$"),
        (["train/x/a", "val/x/a", "test/x/a"], "1 class; a task needs two, as CLASS/IMAGE"),
        (["train_images/a", "testImages/a"], "folders testImages, train_images in .* called by"),
        (["seg_train", "seg_test", "seg_pred"], "folders seg_test, seg_train in .* called by spl"),
        (["train2017/a", "val2017/a"], "train2017, val2017 in .* call those of splits train, val"),
        (["trainset/a", "testset/a"], "folders testset, trainset in .* are called by splits"),
        (["train/a/images", "train/b/images", "val/images"], "val are of one class, 'images', of"),
        (["a", "b"], "no image of .* is left for the split val; add images"),
        ([], "0 classes; a task needs two, as CLASS/IMAGE"),
    ],
)  # fmt: skip
def test_a_folder_that_is_nearly_a_task_says_how_to_mend_it(
    tmp_path: Path, folders: list[str], complaint: str
) -> None:
    for folder in folders:
        images(tmp_path, folder, count=not folder.endswith("/"))
    with pytest.raises(RequestError, match=complaint):
        FolderTask.load(tmp_path)


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "dev", "Test"),
     ("training", "Validation", "test")],
)  # fmt: skip
def test_split_folders_in_every_spelling(tmp_path: Path, train: str, val: str, test: str) -> None:
    for split in (train, val, test):
        images(tmp_path, f"{split}/a", f"{split}/b")
    task = FolderTask.load(tmp_path)
    assert task.class_names == ("a", "b")
    assert keys(task, "val") == [f"{val}/a/0.png", f"{val}/b/0.png"]
    said = [] if (train, val, test) == ("train", "val", "test") else [f"{val} is val"]
    assert all(any(words in note for note in task.notes()) for words in said)


@pytest.mark.parametrize(
    ("there", "sizes"),
    [
        (["train", "test"], {"train": 16, "val": 4, "test": 20}),
        (["training", "Valid"], {"train": 16, "val": 20, "test": 4}),
        (["val", "test"], {"train": 16, "val": 4, "test": 20}),
        (["train"], {"train": 12, "val": 4, "test": 4}),
        (["test"], {"train": 12, "val": 4, "test": 4}),
        ([""], {"train": 12, "val": 4, "test": 4}),
    ],
)
def test_the_splits_that_are_not_there_are_split_off(
    tmp_path: Path, there: list[str], sizes: dict[str, int]
) -> None:
    for split in there:
        images(tmp_path / split, "a", "b", count=10)
    task = FolderTask.load(tmp_path)
    assert task.split_sizes == sizes
    for split, size in sizes.items():
        assert [of_class(task, split, name) for name in "ab"] == [size // 2] * 2
    every = [key for split in sizes for key in keys(task, split)]
    assert len(set(every)) == len(every) == 20 * len(there)
    (note,) = task.notes()
    assert "copies together" in note


@pytest.mark.parametrize("count", range(3, 60))
def test_each_class_is_split_60_20_20_within_one_image(tmp_path: Path, count: int) -> None:
    task = FolderTask.load(images(tmp_path, "a", "b", count=count))
    for split, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        assert abs(of_class(task, split, "b") - share * count) <= 1


def test_the_split_hangs_on_content_not_on_names(tmp_path: Path) -> None:
    one, two = images(tmp_path / "one", "a", "b", count=20), tmp_path / "two"
    for file in sorted(one.rglob("*.png")):
        target = two / file.parent.name / f"renamed-{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    tasks = [FolderTask.load(root) for root in (one, two)]
    names = [
        [Path(key).name.removeprefix("renamed-") for key in keys(task, "test")] for task in tasks
    ]
    assert sorted(names[0]) == sorted(names[1])
    assert tasks[0].content != tasks[1].content


def test_copies_of_an_image_are_in_one_split_even_of_two_classes(tmp_path: Path) -> None:
    root = images(tmp_path, "a", "b", "c", count=12)
    for index in range(12):
        content = (root / f"a/{index}.png").read_bytes()
        (root / f"a/copy-{index}.png").write_bytes(content)
        (root / f"b/from-a-{index}.png").write_bytes(content)
    task = FolderTask.load(root)
    split_of = {key: split for split in ("train", "val", "test") for key in keys(task, split)}
    for index in range(12):
        copies = (f"a/{index}.png", f"a/copy-{index}.png", f"b/from-a-{index}.png")
        assert len({split_of[name] for name in copies}) == 1
    for split, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        assert abs(of_class(task, split, "a") - share * 24) <= 2


def test_small_and_absent_classes_are_said_not_refused(tmp_path: Path) -> None:
    root = images(tmp_path / "flat", "many", count=10)
    images(root, "one")
    images(root, "two", count=2)
    task = FolderTask.load(root)
    assert [of_class(task, "train", name) for name in ("many", "one", "two")] == [6, 1, 1]
    assert [of_class(task, "test", name) for name in ("many", "one", "two")] == [2, 0, 1]
    assert task.notes()[-1].endswith(
        "of 3 classes, val has no image of 2 (one, two); test has no image of 1 (one)"
    )
    root = images(tmp_path / "cut", "train/a", "train/b", "val/a", "test/a", "test/c", "test/b")
    assert FolderTask.load(root).notes() == [
        f"{root}: of 3 classes, train has no image of 1 (c); val has no image of 2 (b, c)"
    ]


def test_a_class_may_be_called_train_within_a_split(tmp_path: Path) -> None:
    task = FolderTask.load(images(tmp_path, "train/train", "train/bus", "test/train", count=5))
    assert task.class_names == ("bus", "train")


def test_folders_with_all_splits_keep_their_fingerprint(tmp_path: Path) -> None:
    folders = [f"{split}/{name}" for split in ("train", "val", "test") for name in "ab"]
    root = images(tmp_path / "kept", *folders, "dev/a", "Train")
    assert FolderTask.load(root).fingerprint == "kept@2f119e9158a0"


def test_words_of_splits_in_the_names_of_a_few_classes_are_allowed(tmp_path: Path) -> None:
    names = ("bullet_train", "crash_test_dummy", "dog", "oak", "pin")
    assert FolderTask.load(images(tmp_path, *names, count=5)).class_names == names


def test_words_of_one_split_may_be_in_the_names_of_all_classes(tmp_path: Path) -> None:
    names = ("test_negative", "test_positive")
    assert FolderTask.load(images(tmp_path, *names, count=5)).class_names == names


@pytest.mark.parametrize("split", ["", "train/"])
def test_folders_in_class_folders_are_said_to_be_no_classes(tmp_path: Path, split: str) -> None:
    folders = [f"{split}{outer}/{inner}" for outer in ("day", "night") for inner in ("cat", "dog")]
    task = FolderTask.load(images(tmp_path, *folders, count=5))
    assert task.class_names == ("day", "night")
    assert any("folders in class folders are no classes (cat, dog)" in n for n in task.notes())


def test_names_that_prompts_cannot_use_as_they_are_are_said(tmp_path: Path) -> None:
    folders = ("3", "n01440764", "red_kite", "swan")
    note = FolderTask.load(images(tmp_path, *folders, count=5)).notes()[-1]
    assert "prompts will call 2 classes by numbers (3, n01440764)" in note
    assert "keep the underscores of 1 classes (red_kite), where captions have blanks" in note


def test_what_is_assumed_is_at_most_five_lines(tmp_path: Path) -> None:
    root = images(tmp_path, "Train/a", "Train/A", "Train/1", "Testing/a", count=3)
    (root / "metadata.csv").write_text("file_name,text\nx.png,a caption\n")
    (root / "notes.txt").write_text("x")
    notes = FolderTask.load(root).notes()
    assert len(notes) == 5
    assert all("\n" not in note for note in notes)
