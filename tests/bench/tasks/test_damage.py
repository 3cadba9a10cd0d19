"""Benchmark data fetched by hand: what was saved instead of a file is said, and what helps."""

import gzip
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.io import savemat

from bench.core.errors import RequestError
from bench.core.missing import MissingError
from bench.core.model_names import FETCHED
from bench.core.paths import Home
from bench.tasks import PublishedTask, find_task
from tests.conftest import Bench
from tests.support.published import small_aircraft, small_cars, small_flowers

AIRCRAFT, CARS, FLOWERS = "fgvc-aircraft-2013b/data", "stanford_cars", "flowers-102"
LISTS = {
    "variants": ("aircraft", f"{AIRCRAFT}/variants.txt"),
    "aircraft": ("aircraft", f"{AIRCRAFT}/images_variant_val.txt"),
}
MATS = {
    "names of cars": ("cars", f"{CARS}/devkit/cars_meta.mat"),
    "train of cars": ("cars", f"{CARS}/devkit/cars_train_annos.mat"),
    "test of cars": ("cars", f"{CARS}/cars_test_annos_withlabels.mat"),
    "splits of flowers": ("flowers", f"{FLOWERS}/setid.mat"),
    "labels of flowers": ("flowers", f"{FLOWERS}/imagelabels.mat"),
}
IMAGES = {
    "image of aircraft": ("aircraft", f"{AIRCRAFT}/images/1025794.jpg"),
    "image of cars": ("cars", f"{CARS}/cars_test/00001.jpg"),
    "image of flowers": ("flowers", f"{FLOWERS}/jpg/image_00001.jpg"),
}

Damage = Callable[[Path], object]


def saved(content: bytes) -> Damage:
    return lambda file: file.write_bytes(content)


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def gzipped(file: Path) -> None:
    file.write_bytes(gzip.compress(file.read_bytes()))


def encoded(encoding: str) -> Damage:
    return lambda file: file.write_text(file.read_text() + "é\n", encoding)


def compressed_and_flipped(file: Path) -> None:
    savemat(file, {"labels": list(range(1000))}, do_compression=True)
    content = bytearray(file.read_bytes())
    content[200] ^= 255
    file.write_bytes(content)


ANY = {
    "a page": (saved(b"\n<!DOCTYPE html><title>Google Drive - Virus scan"), "is a web page"),
    "nothing": (saved(b""), "is empty"),
    "a pointer": (saved(b"version https://git-lfs.github.com/spec/v1\n"), "is a Git LFS pointer"),
    "an archive": (gzipped, "is still compressed (gzip)"),
    "a folder": (as_folder, "is a folder"),
}
OF_LISTS = {
    "UTF-16": (encoded("utf-16"), "is not text in UTF-8"),
    "Latin-1": (encoded("latin-1"), "is not text in UTF-8"),
    "a mark": (encoded("utf-8-sig"), "begins with a byte-order mark"),
}
OF_MATS = {
    "half of it": (half, "is cut short"),
    "its head": (lambda file: file.write_bytes(file.read_bytes()[:130]), "is cut short"),
    "zeros": (saved(bytes(5000)), "is not a MAT-file"),
    "flipped bits": (compressed_and_flipped, "is damaged"),
    "HDF5": (saved(b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(500)), "is not a MAT-file"),
}
CASES = [
    pytest.param(*file, *fault, id=f"{what} for {name}")
    for files, faults in (
        (LISTS | MATS | IMAGES, ANY),
        (LISTS, OF_LISTS),
        (MATS, OF_MATS),
    )
    for name, file in files.items()
    for what, fault in faults.items()
]


def small(name: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> PublishedTask:
    if name == "flowers":
        return small_flowers(home, monkeypatch)
    return {"aircraft": small_aircraft, "cars": small_cars}[name](home)


@pytest.mark.parametrize(("name", "file", "damage", "said"), CASES)
def test_what_was_saved_instead_of_a_file_is_said(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str, file: str, damage: Damage, said: str
) -> None:
    task = small(name, home, monkeypatch)
    path = home.tasks / name / file
    damage(path)
    with pytest.raises(RequestError) as refused:
        task.check(home)
    assert refused.value.what.startswith(f"task {name}: {path} {said}")
    assert refused.value.fix == task.remedy(home)


@pytest.mark.parametrize(("name", "file"), [*LISTS.values(), *MATS.values()])
def test_a_file_that_is_not_there_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    task = small(name, home, monkeypatch)
    (home.tasks / name / file).unlink()
    with pytest.raises(MissingError) as refused:
        task.check(home)
    assert refused.value.what == f"task {name}: {home.tasks / name / file} is not there"


def test_a_mat_file_with_other_variables_is_refused(home: Home) -> None:
    task = small_cars(home)
    savemat(home.tasks / "cars" / MATS["train of cars"][1], {"annos": [1]})
    with pytest.raises(RequestError, match=r"cannot read .*cars_train_annos\.mat"):
        task.check(home)


def test_a_row_without_a_class_is_named_by_its_line(home: Home) -> None:
    task = small_aircraft(home)
    file = home.tasks / "aircraft" / LISTS["aircraft"][1]
    file.write_text(file.read_text() + "0000001\n")
    with pytest.raises(RequestError, match=r"_val.txt has no image and class in line 4: '0000001'"):
        task.check(home)


def test_windows_line_ends_are_read(home: Home) -> None:
    task = small_aircraft(home)
    for _, file in LISTS.values():
        path = home.tasks / "aircraft" / file
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    task.check(home)


def test_an_archive_that_was_cut_short_is_refused(bench: Bench, home: Home) -> None:
    archive = home.tasks / "aircraft/fgvc-aircraft-2013b.tar.gz"
    archive.parent.mkdir(parents=True)
    (data := home.root / "images").write_bytes(bytes(range(256)) * 100)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(data, "fgvc-aircraft-2013b/data/images")
    half(archive)
    done = bench("fetch", "--task", "aircraft")
    assert done.code == 1
    assert "an archive of the task aircraft is damaged" in done.complaint
    left = home.tasks / ".aircraft.partial"
    assert done.complaint.endswith(f"remove {left} and run the same command")
    assert not (archive.parent / "fgvc-aircraft-2013b").exists()


def test_cars_are_advised_to_be_fetched_by_hand(bench: Bench, home: Home) -> None:
    for words in (("fetch",), ("run", "--source", "none")):
        done = bench(*words, "--task", "cars")
        assert done.code == 2
        assert f"devkit and cars_test_annos_withlabels.mat into {home.tasks}" in done.complaint


def test_a_fetch_says_what_is_wrong_with_what_is_there(bench: Bench, home: Home) -> None:
    small_aircraft(home)
    for break_file, what in ((saved(b"<!DOCTYPE html>"), "is a web page"), (as_folder, "a folder")):
        break_file(home.tasks / "aircraft" / LISTS["variants"][1])
        done = bench("fetch", "--task", "aircraft")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert what in done.complaint


@pytest.mark.parametrize(
    "name",
    # The Hub's client tries a revision six times.
    [
        "aircraft",
        "flowers",
        *FETCHED,
        pytest.param("lab/model@1.0", marks=pytest.mark.slow(minutes=1)),
    ],
)
def test_every_command_that_is_advised_begins_to_fetch(
    bench_process: Bench, home: Home, name: str
) -> None:
    with pytest.raises(MissingError) as missing:
        find_task(name).check(home) if name in ("aircraft", "flowers") else home.find_weights(name)
    (advised,) = re.findall("`bench (.*?)`", missing.value.fix)
    home.root.mkdir()
    nowhere = "http://127.0.0.1:9"
    done = bench_process(
        *advised.split(), HF_ENDPOINT=nowhere, http_proxy=nowhere, https_proxy=nowhere
    )
    assert done.code == 1
    # The Hub's client says of every attempt that it failed.
    assert done.err.splitlines()[-1].startswith("bench: error: cannot fetch ")


def test_what_cannot_be_fetched_is_not_advised_to_be(home: Home) -> None:
    for name in ("no/such/folder", "clip2", "/weights/clip"):
        with pytest.raises(MissingError, match=r"give a folder or what"):
            home.find_weights(name)
    with pytest.raises(MissingError, match="give a folder, or a pinned name"):
        home.find_weights("lab/model")
