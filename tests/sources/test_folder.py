"""Images of a user's own: folders, tars, labels, copies and what cannot be read."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import source_of
from bench.storage.image_set import ImageSet, read_image
from bench.storage.tar_shards import encode
from bench.tasks import find_task
from tests.conftest import Bench
from tests.support.contexts import context
from tests.support.source_options import options_of
from tests.support.tiny_clip import COLOURS, colour_task, texture

MINI = find_task("mini-aircraft")


def own_images(root: Path, names: Sequence[str] = tuple(COLOURS), count: int = 3) -> Path:
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(count):
            texture(500 + 10 * label + index).save(root / name / f"{index}.png")
    return root


def from_folder(home: Home, root: Path, tiny_clip: Path, task: Task, **more: object) -> ImageSet:
    small = {"image_size": 32, "suffix": ".png"}
    options = options_of("folder", path=str(root), filter__model=str(tiny_clip), **small)
    return source_of("folder", {**options, **more}).collect(context(home, task))


def test_a_tree_of_class_folders_is_read_by_name(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own", ["green", "blue"])
    images = from_folder(home, root, tiny_clip, colour_task())
    assert images.manifest.counts == {"red": 0, "green": 3, "blue": 3}
    for row in images.index().iter_rows(named=True):
        assert row["class_name"] == tuple(COLOURS)[row["label"]]


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def png(seed: int) -> bytes:
    return encode(texture(seed), ".png")


def test_webdataset_tars_are_read_with_either_kind_of_label(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    write_tar(tmp_path / "0.tar", {"a.png": png(1), "a.cls": b"2", "b.cls": b"0", "b.png": png(2)})
    write_tar(tmp_path / "1.tar", {"a.json": b'{"class_name": "green"}', "a.png": png(3)})
    images = from_folder(home, tmp_path, tiny_clip, colour_task())
    assert images.manifest.counts == {"red": 1, "green": 1, "blue": 1}
    pixels = {
        row["class_name"]: read_image(
            home.data, row["shard"], row["offset"], row["size"], row["sha256"]
        )
        for row in images.index().iter_rows(named=True)
    }
    assert np.array_equal(np.asarray(pixels["blue"]), np.asarray(texture(1)))


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a.png": b""}, "the image a has no label"),
        ({"a.png": b"", "a.cls": b"3"}, "there is no class 3; classes count from 0 to 2"),
        ({"a.png": b"", "a.cls": b"-1"}, "there is no class -1"),
        ({"a.png": b"", "a.cls": b"red"}, "is not a label"),
        ({"a.png": b"", "a.json": b"{"}, "is not a label"),
        ({"a.png": b"", "a.json": b'{"class_name": "gren"}'}, "did you mean green"),
        ({"a.png": b"", "a.json": b'{"label": 1}'}, "has no label"),
    ],
)
def test_a_wrong_label_in_a_tar_is_named(
    home: Home, tmp_path: Path, members: dict[str, bytes], why: str
) -> None:
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(RequestError) as caught:
        from_folder(home, tmp_path, Path("unused"), colour_task())
    assert why in str(caught.value)


def test_a_truncated_tar_of_ones_own_is_never_to_be_deleted(home: Home, tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"a.cls": b"0", "a.png": png(1)})
    (tmp_path / "0.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:2000])
    with pytest.raises(BenchError, match=r"0\.tar is corrupt .*put a whole copy") as caught:
        from_folder(home, tmp_path, Path("unused"), colour_task())
    assert "delete" not in str(caught.value)


def test_an_unknown_class_folder_gets_a_near_miss(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    root = own_images(tmp_path / "own", ["red", "gren"])
    done = folder_run(bench, preset, colours, root)
    assert done.code == 2
    assert "unknown class of task colours 'gren'; did you mean green?" in done.err.splitlines()[-1]


def folder_run(bench: Bench, preset: Path, colours: Path, root: Path) -> Any:
    return bench("run", "--preset", str(preset), "--source", "folder", "--task", str(colours),
                 "--set", f"source.path={root}", "--json")  # fmt: skip


@pytest.mark.parametrize("empty", ["class", "everything"])
def test_an_empty_class_folder_is_a_wrong_request(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, empty: str
) -> None:
    root = tmp_path / "own"
    root.mkdir()
    if empty == "class":
        own_images(root, ["red"])
        (root / "green").mkdir()
    done = folder_run(bench, preset, colours, root)
    assert done.code == 2
    why = "class folder" if empty == "class" else "holds neither class folders nor tars"
    assert why in done.err.splitlines()[-1]


def test_unreadable_images_are_skipped_and_counted(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own")
    (root / "red" / "broken.png").write_bytes(b"no image")
    (root / "red" / "cut.png").write_bytes(png(900)[:200])
    (root / "red" / "nowhere.png").symlink_to(root / "gone.png")
    (root / "red" / "folder.png").mkdir()
    (root / "red" / "notes.txt").write_text("not an image, and not said to be one")
    images = from_folder(home, root, tiny_clip, colour_task())
    stage_counts = images.manifest.stage_counts
    steps = ("matched", "fetched", "unreadable")
    assert [stage_counts[step] for step in steps] == [11, 9, 2]
    assert len(images) == stage_counts["kept"] == 9


def test_other_images_in_the_same_folder_are_another_set(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own")
    first = from_folder(home, root, tiny_clip, colour_task())
    texture(999).save(root / "red" / "0.png")
    assert from_folder(home, root, tiny_clip, colour_task()).manifest != first.manifest


def test_large_images_are_reduced_and_none_is_enlarged(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    for name, size in (("red", (100, 50)), ("green", (20, 10)), ("blue", (1, 400))):
        (tmp_path / "own" / name).mkdir(parents=True)
        texture(len(name)).resize(size).save(tmp_path / "own" / name / "0.png")
    rows = from_folder(home, tmp_path / "own", tiny_clip, colour_task()).index().sort("label")
    assert rows.select("width", "height").rows() == [(32, 16), (20, 10), (1, 32)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exact_copies_of_test_images_are_dropped_however_they_are_kept(
    home: Home, tmp_path: Path, tiny_clip: Path, suffix: str
) -> None:
    for split, start in (("train", 0), ("val", 10), ("test", 20)):
        for label, name in enumerate("ab"):
            folder = tmp_path / "task" / split / name
            folder.mkdir(parents=True)
            photograph(start + label).save(folder / "0.jpg", quality=90)
    task = find_task(str(tmp_path / "task"))
    for label, name in enumerate("ab"):
        (tmp_path / "own" / name).mkdir(parents=True)
        photograph(30 + label).save(tmp_path / "own" / name / "new.png")
        for split in ("val", "test"):
            # The same pixels in another format.
            copied = task.split(split, home).read(label)
            copied.save(tmp_path / "own" / name / f"{split}.png")
    images = from_folder(home, tmp_path / "own", tiny_clip, task, image_size=40, suffix=suffix)
    assert images.manifest.counts == {"a": 1, "b": 1}
    assert images.manifest.stage_counts["duplicates"]["copies of val or test images"] == 4


def photograph(seed: int) -> Image.Image:
    """An image larger than it is kept, with fine structure."""
    fine = np.random.default_rng(seed).integers(-20, 21, (90, 120, 3))
    shown = np.asarray(texture(seed).resize((120, 90))).astype(int) + fine
    return Image.fromarray(shown.clip(0, 255).astype("uint8"))


def test_distinct_small_images_all_stay(home: Home, tmp_path: Path, tiny_clip: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = ("own", "task/train", "task/val", "task/test")[index % 4]
        folder = tmp_path / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"{index}.png")
    task = find_task(str(tmp_path / "task"))
    images = from_folder(home, tmp_path / "own", tiny_clip, task)
    assert len(images) == images.manifest.stage_counts["fetched"] == 450
