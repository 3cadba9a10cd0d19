"""The declared tasks: their lists, and copies in the layouts of their official archives."""

import re
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.core.errors import RequestError
from bench.core.memo import memo_scope
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import SPLITS
from bench.plugins import tasks
from bench.tasks import PublishedTask, find_task
from bench.tasks.readers.parquet import ParquetOrigin
from bench.tasks.readers.webdataset import WebdatasetOrigin
from tests.support.official import WRITERS, write_copy, write_imagenet, write_images
from tests.support.origins import write_parquet, write_webdataset

CLASSES = {
    "aircraft": 100, "caltech101": 101, "caltech101-zhou": 100, "cars": 196, "cars-zhou": 196,
    "country211": 211, "cub": 200, "dtd": 47, "dtd-zhou": 47, "eurosat": 10, "eurosat-zhou": 10,
    "flowers": 102, "flowers-zhou": 102, "food101": 101, "food101-zhou": 101, "pets": 37,
    "pets-zhou": 37, "imagenet": 1000, "pcam": 2, "resisc45": 45, "sun397": 397, "sun397-zhou": 397,
    "ucf101": 101, "voc2007": 20,
}  # fmt: skip
"""As published."""

IMAGES = {
    "aircraft": 10_000, "cars": 16_185, "caltech101": 8_677, "caltech101-zhou": 8_242,
    "cars-zhou": 16_185, "country211": 63_300, "cub": 11_788, "dtd": 5_640, "dtd-zhou": 5_640,
    "eurosat": 27_000, "eurosat-zhou": 27_000, "flowers": 8_189, "flowers-zhou": 8_189,
    "food101": 101_000, "food101-zhou": 101_000, "pets": 7_349, "pets-zhou": 7_349,
    "imagenet": 1_331_167, "pcam": 294_912, "resisc45": 31_500,
    "sun397": 39_700, "sun397-zhou": 39_700, "ucf101": 13_320, "voc2007": 9_963,
}  # fmt: skip
"""Images of all splits, as published; Caltech-101 without background, PatchCamelyon without val."""


SPECIES = {
    "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris": (
        "Lumbricus terrestris"
    ),
    "04815_Animalia_Chordata_Aves_Passeriformes_Paridae_Cyanistes_caeruleus": "Cyanistes caeruleus",
    "05432_Plantae_Tracheophyta_Magnoliopsida_Ranunculales_Papaveraceae_Papaver_rhoeas": (
        "Papaver rhoeas"
    ),
}
"""Folders of iNaturalist 2021, and the species."""


def declared(name: str) -> PublishedTask:
    task = find_task(name)
    assert isinstance(task, PublishedTask)
    return task


def small_inaturalist(home: Home, monkeypatch: pytest.MonkeyPatch) -> PublishedTask:
    """Write three species of iNaturalist, and let the task have three."""
    whole = tasks.get("inaturalist")
    assert isinstance(whole, PublishedTask)
    small = msgspec.structs.replace(whole, folder_names=3, split_sizes={}, val_of_train=0.5)
    monkeypatch.setitem(tasks._loaded, "inaturalist", small)
    root = whole.folder(home)
    for split, count in {"train": 4, "val": 2}.items():
        keys = {f"{folder}/{at}.jpg": "" for folder in SPECIES for at in range(count)}
        write_images(root / split, keys)
    return declared("inaturalist")


def unsized(task: PublishedTask) -> PublishedTask:
    """Return a task whose splits may have any size."""
    return msgspec.structs.replace(task, split_sizes={})


def test_every_declared_task_is_looked_at() -> None:
    published = {name for name in tasks.names() if isinstance(tasks.get(name), PublishedTask)}
    assert published - {"inaturalist"} == set(CLASSES) == set(IMAGES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_declaration_has_the_published_numbers_and_says_where_it_is_from(name: str) -> None:
    task = declared(name)
    assert len(set(task.class_names)) == len(task.class_names) == CLASSES[name]
    lowered = Counter(class_name.lower().strip() for class_name in task.class_names)
    assert max(lowered.values()) == 1
    assert all(class_name == " ".join(class_name.split()) for class_name in task.class_names)
    official = {
        split: size for split, size in task.split_sizes.items() if split not in task.shifted
    }
    assert sum(official.values()) == IMAGES[name]
    assert re.search(r"\d{4}", task.citation)
    assert task.licence
    spellings = [origin.class_names.values() for origin in task.origins if origin.class_names]
    assert all(len(set(names)) == len(list(names)) for names in spellings)


def test_the_names_of_known_numbers_are_the_publishers() -> None:
    known = {
        "caltech101": {0: "off-center face", 5: "airplane", 100: "yin and yang symbol"},
        "country211": {0: "Andorra", 210: "Zimbabwe", 66: "Grenada"},
        "cub": {0: "Black footed Albatross", 199: "Common Yellowthroat", 99: "Brown Pelican"},
        "dtd": {0: "banded", 30: "polka-dotted", 46: "zigzagged"},
        "eurosat": {0: "annual crop land", 9: "lake or sea"},
        "food101": {0: "apple pie", 16: "cheese plate", 17: "cheesecake", 100: "waffles"},
        "imagenet": {0: "tench", 134: "crane bird", 517: "construction crane", 999: "toilet paper"},
        "pets": {0: "Abyssinian", 9: "British Shorthair", 36: "Yorkshire Terrier"},
        "sun397": {0: "abbey", 8: "outdoor apartment building", 396: "youth hostel"},
        "ucf101": {0: "Apply Eye Makeup", 36: "Handstand Pushups", 100: "Yo Yo"},
        "voc2007": {0: "aeroplane", 14: "person", 19: "tv monitor"},
    }
    for name, numbers in known.items():
        names = declared(name).class_names
        assert {number: names[number] for number in numbers} == numbers, name


@pytest.mark.parametrize("name", WRITERS)
def test_a_copy_in_the_official_layout_has_the_right_labels(name: str, home: Home) -> None:
    task = unsized(declared(name))
    content = write_copy(home, task)
    task.check(home)
    found: dict[str, dict[str, str]] = {}
    for split in SPLITS:
        opened = task.split(split, home)
        assert len(opened) > 0
        assert opened.read(0).size == (8, 8)
        assert all(file.is_file() for file in opened.files)
        assert len(opened.files) >= len(opened)
        names = [task.class_names[label] for label in opened.labels]
        found[split] = dict(zip(opened.keys, names, strict=True))
    if "all" in content:
        assert found["train"] | found["val"] | found["test"] == content["all"]
        assert {*found["test"].values()} == set(task.class_names)
    elif "val" in content:
        assert found == content
    else:
        assert found["train"] | found["val"] == content["train"]
        assert found["test"] == content["test"]
    assert sum(map(len, found.values())) == sum(map(len, content.values()))


@pytest.mark.parametrize("name", ["dtd", "food101", "caltech101", "cub", "ucf101", "eurosat-zhou"])
def test_a_copy_of_another_size_is_refused_with_both_numbers(name: str, home: Home) -> None:
    task = declared(name)
    content = write_copy(home, task)
    first = next(iter(content))
    with pytest.raises(RequestError) as refused:
        task.check(home)
    numbers = {int(number.replace(",", "")) for number in re.findall(r"\d+", str(refused.value))}
    share = 1 if "val" in content or first == "all" else 0.8
    assert round(len(content[first]) * share) in numbers
    assert task.split_sizes[first] in numbers


@pytest.mark.parametrize(
    ("name", "saved", "as_"),
    [
        ("dtd", "dtd/dtd/labels/test1.txt", "dtd/dtd/labels/val1.txt"),
        ("sun397", "Partitions/Testing_01.txt", "Partitions/Training_01.txt"),
        (
            "pets",
            "oxford-iiit-pet/annotations/test.txt",
            "oxford-iiit-pet/annotations/trainval.txt",
        ),
    ],
)
def test_a_list_that_was_saved_as_another_is_refused(
    name: str, saved: str, as_: str, home: Home
) -> None:
    task = unsized(declared(name))
    write_copy(home, task)
    folder = task.folder(home)
    (folder / as_).write_bytes((folder / saved).read_bytes())
    with pytest.raises(RequestError, match=r"the image .* is in the splits (train|val) and test"):
        task.check(home)


def test_inaturalists_folders_say_what_its_classes_are_called(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = small_inaturalist(home, monkeypatch)
    task.check(home)
    assert task.class_names == tuple(SPECIES.values())
    opened = task.split("test", home)
    assert len(opened) == 6
    for key, label in zip(opened.keys, opened.labels, strict=True):
        assert task.class_names[label] == SPECIES[key.split("/")[0]]
    assert len(task.split("train", home)) == len(task.split("val", home)) == 6
    # A home with other folders has another task, or none.
    folder = task.folder(home)
    (folder / "val" / next(iter(SPECIES))).rename(folder / "val" / "00009_A_B_C_D_E_Other_species")
    with memo_scope(), pytest.raises(RequestError, match="not '00000_Animalia"):
        declared("inaturalist").check(home)


def test_a_folder_of_the_system_is_no_species(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_inaturalist(home, monkeypatch)
    (task.folder(home) / "train/@eaDir").mkdir()
    with memo_scope():
        assert declared("inaturalist").class_names == task.class_names


def test_inaturalist_without_its_folders_or_with_some_of_them_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with memo_scope(), pytest.raises(MissingError, match=r"get https://ml-inat-competition"):
        find_task("inaturalist")
    task = small_inaturalist(home, monkeypatch)
    first = task.folder(home) / "train" / next(iter(SPECIES))
    first.rename(home.tasks / "aside")
    with memo_scope(), pytest.raises(RequestError, match="has 2 class folders, expected 3"):
        find_task("inaturalist")


def test_pcam_is_read_from_tars(home: Home) -> None:
    task = unsized(declared("pcam"))
    origin = task.origins[0]
    assert isinstance(origin, WebdatasetOrigin)
    table = {"train": list(task.class_names) * 8, "test": list(task.class_names)}
    write_webdataset(origin.root(task.folder(home)), table, task.class_names)
    task.check(home)
    assert [len(task.split(split, home)) for split in SPLITS] == [14, 2, 2]
    assert task.split("test", home).labels.tolist() == [0, 1]
    other = [*task.class_names[::-1]]
    write_webdataset(origin.root(task.folder(home)), table, other)
    with memo_scope(), pytest.raises(RequestError, match="or in another order"):
        task.split("test", home)


def test_the_two_origins_of_food101_agree(home: Home) -> None:
    task = unsized(declared("food101"))
    archive, hub = task.origins
    assert isinstance(hub, ParquetOrigin)
    content = write_copy(home, task)
    vendors = {ours: vendor for vendor, ours in hub.class_names.items()}
    table = {
        hub.splits[split].split("/")[1].split("-")[0]: [vendors[ours] for ours in images.values()]
        for split, images in content.items()
    }
    write_parquet(hub.root(task.folder(home)), table, list(hub.class_names))
    alone = [msgspec.structs.replace(task, origins=(origin,)) for origin in (archive, hub)]
    counts = [
        {split: Counter(one.split(split, home).labels.tolist()) for split in ("test",)}
        for one in alone
    ]
    assert counts[0] == counts[1]
    trained = [
        sum((Counter(one.split(s, home).labels.tolist()) for s in ("train", "val")), Counter())
        for one in alone
    ]
    assert trained[0] == trained[1]
    assert set(trained[0]) == set(range(101))


def small_imagenet() -> PublishedTask:
    """Return ImageNet with every 50th class, and those of R and A that are among them."""
    task = declared("imagenet")
    kept = task.class_names[6::50]
    origins = [
        msgspec.structs.replace(
            origin, class_names={v: ours for v, ours in origin.class_names.items() if ours in kept}
        )
        for origin in task.origins
    ]
    shifted = dict.fromkeys(task.shifted, 0)
    sizes = {split: len(kept) for split in shifted}
    for origin in origins:
        sizes |= {split: len(origin.class_names) for split in origin.split_names if split in sizes}
    return msgspec.structs.replace(
        task, class_names=kept, queries={}, prompt_names={}, origins=tuple(origins),
        split_sizes=sizes, val_of_train=0.2,
    )  # fmt: skip


def test_imagenet_and_its_shifted_splits(home: Home) -> None:
    task = small_imagenet()
    content = write_imagenet(task.folder(home), task)
    task.check(home)
    assert task.shifted == ("v2", "r", "a", "sketch")
    assert task.own_classes_only == ("r", "a")
    assert 0 < len(content["r"]) < len(content["v2"]) == len(task.class_names)
    for split in ("test", *task.shifted):
        opened = task.split(split, home)
        names = [task.class_names[label] for label in opened.labels]
        assert dict(zip(opened.keys, names, strict=True)) == content[split]
    trained = {key for split in ("train", "val") for key in task.split(split, home).keys}
    assert trained == set(content["train"])


def test_shifted_splits_that_are_not_there_are_said_and_left_out(home: Home) -> None:
    task = small_imagenet()
    write_imagenet(task.folder(home), task)
    before = task.at(home).fingerprint
    folder = task.folder(home)
    for name in ("imagenet-v2", "imagenet-sketch"):
        (folder / name).rename(folder.parent / name)
    with memo_scope():
        task.check(home)
        here = task.at(home)
    assert here.shifted == ("r", "a")
    assert any("no shifted splits v2, sketch here" in note for note in here.notes())
    # What a run is compared with does not depend on what else lies there.
    assert here.fingerprint == before


def test_a_list_that_leads_out_of_the_images_is_refused(home: Home) -> None:
    task = unsized(declared("sun397"))
    write_copy(home, task)
    lists = task.folder(home) / "Partitions/Testing_01.txt"
    lists.write_text(lists.read_text().replace("/a/abbey/", "/../abbey/", 1))
    with pytest.raises(RequestError, match=r"'/../abbey/sun_test0.jpg'"):
        task.split("test", home)


def test_coops_list_without_a_split_is_refused(home: Home) -> None:
    task = unsized(declared("ucf101"))
    write_copy(home, task)
    lists = task.folder(home) / "split_zhou_UCF101.json"
    lists.write_text(lists.read_text().replace('"val"', '"validation"'))
    with pytest.raises(RequestError, match="has the splits test, train, validation, expected val"):
        task.split("val", home)


def test_marks_of_another_length_are_refused(home: Home) -> None:
    task = unsized(declared("cub"))
    write_copy(home, task)
    marks = task.folder(home) / "CUB_200_2011/train_test_split.txt"
    marks.write_text("".join(marks.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RequestError, match="has 1399 lines, expected 1400"):
        task.split("train", home)


def write_voc(root: Path, task: PublishedTask) -> dict[str, dict[str, set[str]]]:
    """Write VOC's lists, two images of each class and one of two, and return their classes."""
    vendors = {ours: vendor for vendor, ours in task.origins[0].class_names.items()}
    content: dict[str, dict[str, set[str]]] = {}
    for first, split in ((1, "train"), (101, "val"), (201, "test")):
        shown = {f"{first + at:06d}": {name} for at, name in enumerate(task.class_names * 2)}
        shown[f"{first:06d}"] = {"aeroplane", "person"}
        lists = root / "ImageSets/Main"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in shown))
        for name, vendor in vendors.items():
            # Every second image of a class has it as difficult.
            marks = {stem: "-1" for stem in shown}
            marks |= {s: " 1" if int(s) % 2 else " 0" for s, has in shown.items() if name in has}
            lines = [f"{stem} {mark}\n" for stem, mark in marks.items()]
            (lists / f"{vendor}_{split}.txt").write_text("".join(lines))
        content[split] = {f"{stem}.jpg": has for stem, has in shown.items()}
        write_images(root / "JPEGImages", dict.fromkeys(content[split], ""))
    return content


def test_voc_has_several_labels_per_image_and_an_image_once(home: Home) -> None:
    task = unsized(declared("voc2007"))
    content = write_voc(task.folder(home) / "VOCdevkit/VOC2007", task)
    task.check(home)
    for split, images in content.items():
        opened = task.split(split, home)
        assert opened.targets is not None
        rows = [{task.class_names[at] for at in np.flatnonzero(row)} for row in opened.targets]
        assert dict(zip(opened.keys, rows, strict=True)) == images
        assert opened.read(0).size == (8, 8)
    person = task.folder(home) / "VOCdevkit/VOC2007/ImageSets/Main/person_test.txt"
    person.write_text(person.read_text().replace("-1", "2", 1))
    with pytest.raises(RequestError, match="mark '2', expected 1, 0 or -1"):
        task.split("test", home)
    person.unlink()
    with pytest.raises(RequestError, match="19 where 20 are expected; not 'person'"):
        task.split("test", home)
