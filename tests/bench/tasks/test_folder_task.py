"""A folder of images as a task: what is listed is what is hashed, read and named."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.tasks._folder import FolderTask
from tests.conftest import Bench
from tests.support.command_line import request
from tests.support.tiny_clip import square

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A task of two classes, with folders of splits."""
    root = tmp_path / "pets"
    for split, count in (("train", 3), ("val", 2), ("test", 4)):
        for label, name in enumerate(("cat", "dog")):
            for index in range(count):
                put(root / split / name / f"{index}.png", label, index)
    return root


def put(path: Path, label: int = 0, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    square(label, seed).save(path)


def content(root: Path) -> str:
    return FolderTask.load(root).content


def test_hidden_and_other_files_change_nothing(pets: Path) -> None:
    before = FolderTask.load(pets)
    put(pets / "train/.ipynb_checkpoints/0.png")
    put(pets / "test/cat/.ipynb_checkpoints/0-checkpoint.png")
    put(pets / ".cache/cat/0.png")
    put(pets / "stray.png")
    for name in ("README.md", "test/cat/._0.png", "test/cat/Thumbs.db", "test/notes.txt"):
        (pets / name).write_bytes(b"other")
    assert FolderTask.load(pets) == before
    assert before.notes() == [
        f"{pets}: 8 of 26 files not read: 4 hidden, 1 .md, 1 .txt, 1 outside the class folders, "
        "1 system"
    ]


def test_linked_folders_are_read_and_hashed(pets: Path, tmp_path: Path) -> None:
    shutil.move(pets / "test", tmp_path / "far")
    (pets / "test").symlink_to(tmp_path / "far")
    shutil.move(pets / "train/cat", tmp_path / "cats")
    (pets / "train/cat").symlink_to(tmp_path / "cats")
    put(tmp_path / "more/9.png", 1, 9)
    (pets / "train/cat/linked").symlink_to(tmp_path / "more")
    before = FolderTask.load(pets)
    assert before.split_sizes == {"train": 7, "val": 4, "test": 8}
    assert "train/cat/linked/9.png" in before.split("train", Home(tmp_path)).keys
    put(tmp_path / "far/dog/0.png", 0, 77)
    after = content(pets)
    put(tmp_path / "more/9.png", 0, 78)
    assert len({before.content, after, content(pets)}) == 3


@pytest.mark.parametrize("suffix", ["tif", "TIFF", "gif", "jfif", "jpe", "ppm", "pgm", "webp"])
def test_all_that_can_be_decoded_is_read(pets: Path, tmp_path: Path, suffix: str) -> None:
    kinds = {"jfif": "jpeg", "jpe": "jpeg", "tif": "tiff", "pgm": "ppm"}
    with (pets / f"test/cat/more.{suffix}").open("wb") as stream:
        square(0, 5).save(stream, kinds.get(suffix, suffix.lower()))
    task = FolderTask.load(pets)
    assert task.split_sizes["test"] == 9
    assert f"test/cat/more.{suffix}" in task.split("test", Home(tmp_path)).keys
    assert task.notes() == []


def test_a_class_of_unreadable_images_is_told_from_an_empty_one(pets: Path) -> None:
    (pets / "val/fox").mkdir()
    with pytest.raises(RequestError, match=r"folder .*/val/fox has no images; add some"):
        content(pets)
    (pets / "val/fox/0.heic").write_bytes(b"x")
    (pets / "val/fox/1.HEIC").write_bytes(b"x")
    with pytest.raises(RequestError, match=r"fox .* but 2 \.heic; convert them to PNG or JPEG"):
        content(pets)


def test_a_class_is_one_in_both_unicode_forms(pets: Path, tmp_path: Path) -> None:
    for split, name in (("train", COMPOSED), ("val", DECOMPOSED), ("test", DECOMPOSED)):
        put(pets / split / name / "0.png", 2)
    put(pets / "test" / COMPOSED / "1.png", 2)
    (pets / "task.yaml").write_text(f"queries: {{{DECOMPOSED}: [coffee house]}}")
    task = FolderTask.load(pets)
    assert task.class_names == (COMPOSED, "cat", "dog")
    assert task.query(COMPOSED).any == ("coffee house",)
    assert task.label(DECOMPOSED) == 0
    test = task.split("test", Home(tmp_path))
    assert list(test.keys)[:2] == [f"test/{COMPOSED}/0.png", f"test/{COMPOSED}/1.png"]
    assert np.array_equal(np.asarray(test.read(1)), np.asarray(square(2, 0)))


def test_class_names_that_nearly_agree_are_said(pets: Path) -> None:
    for split in ("train", "val", "test"):
        put(pets / split / "Cat " / "0.png")
    assert FolderTask.load(pets).notes() == [
        f"{pets}: the classes 'Cat ', 'cat' differ in capitals or blanks alone"
    ]


def test_a_class_name_with_a_line_break_is_refused(pets: Path) -> None:
    put(pets / "train" / "two\nwords" / "0.png")
    put(pets / "val" / "two\nwords" / "0.png")
    put(pets / "test" / "two\nwords" / "0.png")
    with pytest.raises(RequestError, match=r"class name 'two\\nwords' has control char"):
        content(pets)


def test_a_run_says_once_what_it_does_not_read(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    shutil.copytree(colours, tmp_path / "colours")
    (tmp_path / "colours/test/red/9.heic").write_bytes(b"x")
    (tmp_path / "colours/test/red/.DS_Store").write_bytes(b"x")
    words = request(preset, tmp_path / "colours", source="none")[:-1]
    for dry in ([], ["--dry-run"]):
        outcome = bench(*words, *dry)
        assert outcome.code == 0
        assert outcome.err.count("2 of 53 files not read: 1 .heic, 1 hidden") == 1


def test_what_is_not_utf8_is_one_line(
    bench_process: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    odd = os.fsdecode(b"cat\xe9")
    shutil.copytree(colours, tmp_path / odd)
    (tmp_path / "link").symlink_to(tmp_path / odd)
    shutil.copytree(colours, tmp_path / "own")
    shutil.copy(colours / "test/red/0.png", tmp_path / "own/test/red" / f"{odd}.png")
    of = "--set=source.path="
    real, folder = "real", "folder"
    requests = [
        (request(preset, tmp_path / odd, source=real), {}),
        (request(preset, tmp_path / "link", source=real), {}),
        (request(preset, tmp_path / "own", source=real), {}),
        (request(preset, colours, f"{of}{tmp_path / odd}", source=folder), {}),
        (request(preset, colours, f"{of}{tmp_path / 'own/test'}", source=folder), {}),
        (["report", "--out", str(tmp_path / f"{odd}-report")], {}),
        (["sweep", str(tmp_path / odd / "study.yaml")], {}),
        (["collect"], {"home_": tmp_path / odd}),
    ]
    for words, more in requests:
        outcome = bench_process(*words, **more)
        assert (outcome.code, outcome.out) == (2, ""), words
        assert outcome.err.startswith("bench: error: the "), outcome.err
        assert outcome.err.count("\n") == 1
        assert r"cat\xe9" in outcome.err
        assert "is not UTF-8; rename it" in outcome.err


@pytest.mark.parametrize("name", ["task.yml", "Task.yaml"])
def test_a_declaration_under_another_name_is_not_left_unread(
    colours: Path, tmp_path: Path, name: str
) -> None:
    root = shutil.copytree(colours, tmp_path / "colours")
    (root / name).write_text("metric: mean-per-class")
    with pytest.raises(RequestError, match=rf"has {name}, which is not read; rename it to task"):
        FolderTask.load(root)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("templates: [a photo]", r"task\.yaml: templates: 'a photo' needs one {}"),
        ("templates: ['a {c}.']", "needs one {}"),
        ("domain_texts: []", "domain_texts: it is empty"),
        ("queries: {reed: red}", "queries: there is no class 'reed'; did you mean red"),
    ],
)
def test_prompts_are_checked_when_the_task_is_read(
    colours: Path, tmp_path: Path, content: str, why: str
) -> None:
    root = shutil.copytree(colours, tmp_path / "colours")
    (root / "task.yaml").write_text(content)
    with pytest.raises(RequestError, match=why):
        FolderTask.load(root)
