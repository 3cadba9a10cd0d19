"""Small copies of the published benchmarks, in their official formats, and tasks pinned to them."""

import hashlib
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

from bench.core.paths import Home
from bench.tasks import PublishedTask, find_task

AIRCRAFT = ("707-320", "737-500", "Tornado")
CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012")

Lists = dict[str, list[tuple[str, str]]]
"""Split to its images: file name and class name."""


def small_aircraft(home: Home) -> PublishedTask:
    """Write three images per split of FGVC-Aircraft, and return the task pinned to them."""
    numbers = {"train": (1025794, 56978, 9), "val": (1340192, 2, 3), "test": (4, 5, 6)}
    lists: Lists = {
        split: [(f"{number:07d}.jpg", name) for number, name in zip(of, AIRCRAFT, strict=True)]
        for split, of in numbers.items()
    }
    data = home.tasks / "aircraft/fgvc-aircraft-2013b/data"
    write_aircraft(data, lists)
    for listed in lists.values():
        write_images(data / "images", [file for file, _ in listed])
    return pinned("aircraft", AIRCRAFT, lists)


def write_aircraft(data: Path, lists: Lists, names: tuple[str, ...] = AIRCRAFT) -> None:
    """Write the archive's lists: the variants, and ``NUMBER VARIANT`` per image of a split."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "variants.txt").write_text("".join(f"{name}\n" for name in names))
    for split, listed in lists.items():
        lines = [f"{Path(file).stem} {name}\n" for file, name in listed]
        (data / f"images_variant_{split}.txt").write_text("".join(lines))


def small_cars(home: Home) -> PublishedTask:
    """Write fifteen training and three test images of Stanford Cars, and return the task."""
    folder = home.tasks / "cars/stanford_cars"
    files = {"train": 15, "test": 3}
    for split, count in files.items():
        write_images(folder / f"cars_{split}", [f"{at + 1:05d}.jpg" for at in range(count)])
    whole: Lists = {
        split: [(f"cars_{split}/{at + 1:05d}.jpg", CARS[at % 3]) for at in range(count)]
        for split, count in files.items()
    }
    write_cars(folder, {split: [name for _, name in listed] for split, listed in whole.items()})
    # One fifth of train is val: the images whose names have the smallest hashes.
    by_hash = sorted(whole["train"], key=lambda one: hashlib.sha256(one[0].encode()).digest())
    return pinned("cars", CARS, {**whole, "val": by_hash[:3], "train": by_hash[3:]})


def write_cars(
    folder: Path, labels: dict[str, list[str]], names: tuple[str, ...] = CARS, *, first: int = 1
) -> None:
    """Write the devkit: the class names, and labels from 1 with a box and a file name per image."""
    places = {
        "train": folder / "devkit/cars_train_annos.mat",
        "test": folder / "cars_test_annos_withlabels.mat",
    }
    boxes = [f"bbox_{corner}" for corner in ("x1", "y1", "x2", "y2")]
    (folder / "devkit").mkdir(exist_ok=True)
    for split, listed in labels.items():
        annotations = np.empty(
            (1, len(listed)), [(name, object) for name in (*boxes, "class", "fname")]
        )
        for at, name in enumerate(listed):
            annotations[0, at] = (1, 1, 2, 2, CARS.index(name) + first, f"{at + 1:05d}.jpg")
        savemat(places[split], {"annotations": annotations})
    savemat(folder / "devkit/cars_meta.mat", {"class_names": np.array(names, object)})


def small_flowers(home: Home, monkeypatch: pytest.MonkeyPatch) -> PublishedTask:
    """Write two images per class and split of three classes of Oxford Flowers, and the task."""
    folder = home.tasks / "flowers/flowers-102"
    names = find_task("flowers").class_names
    labels = [1 + at % 3 for at in range(18)]
    splits = {
        "train": [1, 2, 3, 4, 5, 6],
        "val": [7, 8, 9, 10, 11, 12],
        "test": list(range(13, 19)),
    }
    write_images(folder / "jpg", [f"image_{number:05d}.jpg" for number in range(1, 19)])
    write_flowers(folder, labels, splits)
    published = {name: md5(folder / name) for name in ("imagelabels.mat", "setid.mat")}
    known = dict(torchvision.datasets.Flowers102._file_dict)
    known |= {"label": ("imagelabels.mat", published["imagelabels.mat"])}
    known |= {"setid": ("setid.mat", published["setid.mat"])}
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_file_dict", known)
    lists = {
        split: [(f"image_{number:05d}.jpg", names[labels[number - 1] - 1]) for number in numbers]
        for split, numbers in splits.items()
    }
    files = {f"flowers-102/{name}": value for name, value in published.items()}
    return pinned("flowers", names, lists, files)


def write_flowers(folder: Path, labels: list[int], splits: dict[str, list[int]]) -> None:
    """Write the two files of Oxford Flowers: a label from 1 per image, and a split's numbers."""
    savemat(folder / "imagelabels.mat", {"labels": np.array(labels)})
    keys = {"train": "trnid", "val": "valid", "test": "tstid"}
    savemat(folder / "setid.mat", {keys[split]: np.array(of) for split, of in splits.items()})


def write_images(folder: Path, files: list[str]) -> None:
    """Write small images; the colour of each follows from its place."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, file in enumerate(files):
        Image.new("RGB", (8, 8), (10 * at, 100, 200)).save(folder / file)


def pinned(
    name: str, class_names: tuple[str, ...], lists: Lists, files: dict[str, str] | None = None
) -> PublishedTask:
    """Return a published task that declares these classes and these splits."""
    task = find_task(name)
    assert isinstance(task, PublishedTask)
    contents = {}
    for split, listed in lists.items():
        text = "".join(sorted(f"{file}\t{label}\n" for file, label in listed))
        contents[split] = hashlib.sha256(text.encode()).hexdigest()
    sizes = {split: len(listed) for split, listed in lists.items()}
    origin = msgspec.structs.replace(task.origins[0], files=files or {}, split_contents=contents)
    fields = {"class_names": class_names, "queries": {}, "split_sizes": sizes}
    return msgspec.structs.replace(task, **fields, origins=(origin,))


def md5(file: Path) -> str:
    """Return the MD5 of a file."""
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def swap(first: Path, second: Path) -> None:
    """Swap two files."""
    aside = first.with_name("aside")
    shutil.move(first, aside)
    shutil.move(second, first)
    shutil.move(aside, second)
