"""Images of a user's own: folders, tars, labels, copies and what cannot be read."""

import gzip
import io
import json
import os
import subprocess
import tarfile
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from PIL import Image

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import source_of
from bench.plugins.optional import HasNotes
from bench.storage.image_codec import encode
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from tests.conftest import Bench
from tests.support.contexts import context, image_of
from tests.support.source_options import options_of
from tests.support.tiny_clip import COLOURS, colour_task, texture

MINI = find_task("mini-aircraft")


def own_images(root: Path, names: Sequence[str] = tuple(COLOURS), count: int = 3) -> Path:
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(count):
            texture(500 + 10 * label + index).save(root / name / f"{index}.png")
    return root


Collect = Callable[..., ImageSet]


@pytest.fixture
def collect(home: Home, tiny_clip: Path) -> Collect:
    """Collects images from a folder, for the task of three colours."""

    def call(root: Path, task: Task | None = None, **more: object) -> ImageSet:
        small = {"images__size": 32, "suffix": ".png"}
        options = options_of("folder", path=str(root), filter__model=str(tiny_clip), **small)
        return source_of("folder", {**options, **more}).collect(
            context(home, task or colour_task())
        )

    return call


def test_a_tree_of_class_folders_is_read_by_name(tmp_path: Path, collect: Collect) -> None:
    images = collect(own_images(tmp_path / "own", ["green", "blue"]))
    assert images.manifest.counts == {"red": 0, "green": 3, "blue": 3}
    for row in images.index().iter_rows(named=True):
        assert row["class_name"] == tuple(COLOURS)[row["label"]]


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def png(seed: int) -> bytes:
    return encode(texture(seed), ".png")


def test_tars_have_either_kind_of_label(home: Home, tmp_path: Path, collect: Collect) -> None:
    write_tar(tmp_path / "0.tar", {"a.png": png(1), "a.cls": b"2", "b.cls": b"0", "b.png": png(2)})
    write_tar(tmp_path / "1.tar", {"a.json": b'{"class_name": "green"}', "a.png": png(3)})
    images = collect(tmp_path)
    assert images.manifest.counts == {"red": 1, "green": 1, "blue": 1}
    blue = images.index().row(by_predicate=pl.col("class_name") == "blue", named=True)
    assert np.array_equal(np.asarray(image_of(home, blue)), np.asarray(texture(1)))


@pytest.mark.parametrize(
    "members",
    [
        {"0.left.png": png(1), "0.right.png": png(2), "0.cls": b"2\n"},
        {"a.b/0.png": png(1), "a.b/0.cls": b"2", "c/0.png": png(2), "c/0.cls": b" blue "},
        {"0.PNG": png(1), "0.CLS": b"2", "1.png": png(2), "1.cls.txt": b"2"},
        {"0.png": png(1), "0.json": b'{"label": 2}',
         "1.png": png(2), "1.json": b'{"class": "blue"}'},
        {"0.png": png(1), "0.cls": b"2", "0.json": b'{"class_name": "blue", "label": 2}',
         "1.png": png(2), "1.json": b'{"label": "blue"}', "1.txt": b"red"},
        {"./0.png": png(1), "./0.cls": b"2", "._0.png": b"", "/1.png": png(2), "/1.cls": b"2"},
        {"x" * 120 + "\u00e9/0.png": png(1), "x" * 120 + "\u00e9/0.cls": b"2",
         "../0.cls": b"2", "../0.png": png(2)},
        {"0.png": png(1), "0.cls": b"2", "1.png": png(2), "1.cls": b"2",
         "__MACOSX/0.png": b"", ".hidden/0.png": b"", "Thumbs.db": b""},
    ],
)  # fmt: skip
def test_labels_are_found_by_webdataset_s_keys(
    home: Home, tmp_path: Path, collect: Collect, members: dict[str, bytes]
) -> None:
    write_tar(tmp_path / "0.tar", members)
    images = collect(tmp_path).index().iter_rows(named=True)
    found = [(row["class_name"], np.asarray(image_of(home, row)).tobytes()) for row in images]
    assert sorted(found) == sorted(("blue", np.asarray(texture(seed)).tobytes()) for seed in (1, 2))


def test_links_in_a_tar_are_the_files_they_lead_to(tmp_path: Path, collect: Collect) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, content in {"b/0.png": png(1), "b/0.cls": b"2", "c/1.png": png(2)}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, kind, target in [("c/1.cls", tarfile.LNKTYPE, "b/0.cls"),
                                   ("d/2.png", tarfile.SYMTYPE, "../c/1.png"),
                                   ("d/2.cls", tarfile.SYMTYPE, "../b/./0.cls")]:  # fmt: skip
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            tar.addfile(link)
    assert collect(tmp_path).manifest.stage_counts["matched"] == 3
    with tarfile.open(tmp_path / "0.tar", "a") as tar:
        link = tarfile.TarInfo("e/3.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/data/3.png"
        tar.addfile(link)
    with pytest.raises(RequestError, match=r"the link e/3\.png leads to no file .*--dereference"):
        collect(tmp_path)


def test_sparse_and_compressed_tars_are_refused(tmp_path: Path, collect: Collect) -> None:
    (tmp_path / "0.png").write_bytes(png(1) + bytes(2**20))
    with (tmp_path / "0.png").open("r+b") as stream:
        stream.truncate(len(png(1)))
        stream.truncate(2**22)
    tar = ["tar", "-C", str(tmp_path), "-cSf", str(tmp_path / "0.tar"), "0.png"]
    subprocess.run(tar, check=True)
    with pytest.raises(RequestError, match=r"0\.png is sparse; pack it without --sparse"):
        collect(tmp_path)
    (tmp_path / "0.tar").write_bytes(gzip.compress((tmp_path / "0.tar").read_bytes()))
    with pytest.raises(RequestError, match=r"0\.tar is compressed; unpack it"):
        collect(tmp_path)
    (tmp_path / "0.tar").rename(tmp_path / "0.TAR.gz")
    with pytest.raises(RequestError, match=r"0\.TAR\.gz is compressed; unpack it"):
        collect(tmp_path)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a.png": b""}, "the image a has no label, but only a.png; add a.cls"),
        ({"a.png": b"", "a.txt": b"red"}, r"no label, but only a\.png, a\.txt; add a\.cls"),
        ({"a.png": b"", "a.cls": b"3"}, "there is no class 3; classes count from 0 to 2"),
        ({"a.png": b"", "a.cls": b"-1"}, "there is no class -1"),
        ({"a.png": b"", "a.json": b'{"label": 3}'}, "a.json: label: there is no class 3"),
        ({"a.png": b"", "a.cls": b"gren"}, "did you mean green"),
        ({"a.png": b"", "a.cls": b"\xff"}, "is not a label"),
        ({"a.png": b"", "a.cls": b"9" * 5000}, "class in .*0.tar: a.cls: '9999"),
        ({"a.png": b"", "a.json": b"{"}, "is not a label"),
        ({"a.png": b"", "a.json": b"[2]"}, "is not a label"),
        ({"a.png": b"", "a.json": b'{"label": [2]}'}, r"label is not a label: \[2\]"),
        ({"a.png": b"", "a.json": b'{"label": true}'}, "label is not a label: True"),
        ({"a.png": b"", "a.json": b'{"class_name": "gren"}'}, "did you mean green"),
        ({"a.png": b"", "a.json": b'{"caption": "red"}'}, "has no label"),
        ({"a.png": b"", "a.json": b'{"class": "red", "label": 2}'}, "differ: class 'red', label 2"),
        ({"a.png": b"", "a.json": b'{"label": 1}', "a.cls": b"2"},
         "a.json says 'green', but a.cls says 'blue'"),
        ({"a.png": b"", "a.seg.png": b"", "a.cls": b"2"}, "several images, a.png, a.seg.png; keep"),
        ({"a.cls": b"2"}, "hold no images"),
    ],
)  # fmt: skip
def test_a_wrong_label_in_a_tar_is_named(
    tmp_path: Path, collect: Collect, members: dict[str, bytes], why: str
) -> None:
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(RequestError, match=why):
        collect(tmp_path, filter={"model": "unused"})


def test_a_user_s_truncated_tar_is_never_to_be_deleted(tmp_path: Path, collect: Collect) -> None:
    write_tar(tmp_path / "0.tar", {"a.cls": b"0", "a.png": png(1)})
    (tmp_path / "0.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:2000])
    with pytest.raises(BenchError, match=r"0\.tar is corrupt .*put a whole copy") as caught:
        collect(tmp_path, filter={"model": "unused"})
    assert "delete" not in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "why"),
    [
        (["red/0.png", "gren/0.png"], "class of task colours 'gren'; did you mean green?"),
        (["red/0.png", "green/"], "class folder"),
        ([], "holds neither class folders nor tars"),
        (["train/", "test/"], "has split folders, not class folders; give --set source.path="),
    ],
)
def test_folders_that_are_no_classes_are_a_wrong_request(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, folders: list[str], why: str
) -> None:
    root = tmp_path / "own"
    root.mkdir()
    for folder in folders:
        name, _, file = folder.partition("/")
        (root / name).mkdir()
        if file:
            texture(1).save(root / folder)
    done = bench("run", "--preset", str(preset), "--source", "folder", "--task", str(colours),
                 "--set", f"source.path={root}", "--json")  # fmt: skip
    assert done.code == 2
    assert why in done.err.splitlines()[-1]


def test_unreadable_images_are_skipped_and_counted(tmp_path: Path, collect: Collect) -> None:
    red = own_images(tmp_path / "own") / "red"
    (red / "broken.png").write_bytes(b"no image")
    (red / "cut.png").write_bytes(png(900)[:200])
    (red / "folder.png").mkdir()
    (red / "notes.txt").write_text("not an image, and not said to be one")
    images = collect(red.parent)
    stage_counts = images.manifest.stage_counts
    steps = ("matched", "fetched", "unreadable", "kept")
    assert [stage_counts[step] for step in steps] == [11, 9, 2, 9]
    assert len(images) == 9


def test_a_link_to_nothing_is_named(tmp_path: Path, collect: Collect) -> None:
    red = own_images(tmp_path / "own") / "red"
    (red / "nowhere.png").symlink_to(red / "gone.png")
    with pytest.raises(RequestError, match=r"red/nowhere\.png leads nowhere; mend or remove it"):
        collect(red.parent)


def test_a_class_in_another_unicode_form_is_the_class(tmp_path: Path, collect: Collect) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    task = msgspec.structs.replace(colour_task(), class_names=("red", decomposed, "blue"))
    assert collect(own_images(tmp_path / "own", [composed]), task).manifest.counts[composed] == 3
    label = json.dumps({"class_name": decomposed}).encode()
    write_tar(tmp_path / "tars" / "0.tar", {"a.json": label, "a.png": png(1)})
    assert collect(tmp_path / "tars", task).manifest.counts[composed] == 1


def test_tars_are_read_at_any_depth_and_nothing_beside_them(
    tmp_path: Path, collect: Collect
) -> None:
    for seed, name in enumerate(["0.tar", "more/1.TAR", "more/._1.tar"]):
        write_tar(tmp_path / "own" / name, {"a.cls": b"0", "a.png": png(seed)})
    own_images(tmp_path / "own", ["red"])
    assert len(collect(tmp_path / "own")) == 2
    options = options_of("folder", path=str(tmp_path / "own"), filter__model="unused")
    source = source_of("folder", options)
    assert isinstance(source, HasNotes)
    (note,) = source.notes(Home(tmp_path))
    assert note.endswith("own: 4 of 6 files not read: 3 beside the tars, 1 hidden")


def test_a_member_s_name_that_is_not_utf8_is_refused(tmp_path: Path, collect: Collect) -> None:
    name = os.fsdecode(b"cat\xe9.png")
    member = tarfile.TarInfo(name)
    with tarfile.open(tmp_path / "0.tar", "w", errors="surrogateescape") as tar:
        tar.addfile(member)
    with pytest.raises(RequestError, match=r"the member b'cat\\xe9.png' of .*0\.tar is not UTF-8"):
        collect(tmp_path)


def test_other_images_in_the_same_folder_are_another_set(tmp_path: Path, collect: Collect) -> None:
    root = own_images(tmp_path / "own")
    first = collect(root)
    texture(999).save(root / "red" / "0.png")
    assert collect(root).manifest != first.manifest


def test_large_images_are_reduced_and_none_is_enlarged(tmp_path: Path, collect: Collect) -> None:
    for name, size in (("red", (100, 50)), ("green", (20, 10)), ("blue", (1, 400))):
        (tmp_path / "own" / name).mkdir(parents=True)
        texture(len(name)).resize(size).save(tmp_path / "own" / name / "0.png")
    rows = collect(tmp_path / "own").index().sort("label")
    assert rows.select("width", "height").rows() == [(64, 32), (20, 10), (1, 128)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exact_copies_are_dropped(
    home: Home, tmp_path: Path, collect: Collect, suffix: str
) -> None:
    for split, start in (("train", 0), ("val", 10), ("test", 20)):
        for label, name in enumerate("ab"):
            folder = tmp_path / "task" / split / name
            folder.mkdir(parents=True)
            photograph(start + label).save(folder / "0.jpg", quality=90)
    task = find_task(str(tmp_path / "task"))
    for label, name in enumerate("ab"):
        folder = tmp_path / "own" / name
        folder.mkdir(parents=True)
        photograph(30 + label).save(folder / "new.png")
        for split in ("val", "test"):  # The same pixels in another format.
            task.split(split, home).read(label).save(folder / f"{split}.png")
    images = collect(tmp_path / "own", task, images={"size": 40, "suffix": suffix})
    assert images.manifest.counts == {"a": 1, "b": 1}
    assert images.manifest.stage_counts["duplicates"]["copies of val or test images"] == 4


def fading(seed: int) -> Image.Image:
    """A photograph that fades towards one side."""
    image = photograph(seed).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").rotate(90 * (seed % 4)).resize(image.size))
    return image


BACKGROUNDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "on white": lambda image: Image.alpha_composite(Image.new("RGBA", image.size, "white"), image),
    "on black": lambda image: Image.alpha_composite(Image.new("RGBA", image.size, "black"), image),
    "dropped": lambda image: image.convert("RGB"),
}


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA"])
def test_copies_of_transparent_images_are_found_on_any_background(
    tmp_path: Path, collect: Collect, kind: str, background: str
) -> None:
    for split, start in (("train", 0), ("val", 100), ("test", 200)):
        for at in range(16):
            folder = tmp_path / "task" / split / "ab"[at % 2]
            folder.mkdir(parents=True, exist_ok=True)
            image = fading(start + at)
            image = image.quantize(64) if kind == "PA" else image.convert(kind)
            image.save(folder / f"{at}.png")
    for at in range(16):
        folder = tmp_path / "own" / "ab"[at % 2]
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(tmp_path / "task" / "test" / "ab"[at % 2] / f"{at}.png") as image:
            BACKGROUNDS[background](image.convert("RGBA")).save(folder / f"{at}.png")
        photograph(300 + at).save(folder / f"other-{at}.jpg", quality=90)
    images = collect(tmp_path / "own", find_task(str(tmp_path / "task")))
    assert images.manifest.stage_counts["duplicates"]["copies of val or test images"] == 16
    assert images.manifest.counts == {"a": 8, "b": 8}


def photograph(seed: int) -> Image.Image:
    """An image larger than it is kept, with fine structure."""
    fine = np.random.default_rng(seed).integers(-20, 21, (90, 120, 3))
    shown = np.asarray(texture(seed).resize((120, 90))).astype(int) + fine
    return Image.fromarray(shown.clip(0, 255).astype("uint8"))


def test_distinct_small_images_all_stay(tmp_path: Path, collect: Collect) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = ("own", "task/train", "task/val", "task/test")[index % 4]
        folder = tmp_path / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"{index}.png")
    images = collect(tmp_path / "own", find_task(str(tmp_path / "task")))
    assert len(images) == images.manifest.stage_counts["fetched"] == 450
