"""Small copies of data sets in the layouts of their official archives: all classes, few images."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from bench.core.paths import Home
from bench.tasks import PublishedTask
from bench.tasks.readers.class_folders import FoldersOrigin
from bench.tasks.readers.lists import ListOrigin

Content = dict[str, dict[str, str]]
"""The publisher's split to its images: key to class name."""

CATS = {
    "Abyssinian", "Bengal", "Birman", "Bombay", "British Shorthair", "Egyptian Mau", "Maine Coon",
    "Persian", "Ragdoll", "Russian Blue", "Siamese", "Sphynx",
}  # fmt: skip
"""The breeds whose images the archive writes with a capital."""


def spelt(task: PublishedTask) -> dict[str, str]:
    """Return the publisher's spelling of a class to the task's."""
    names = task.origins[0].class_names
    return dict(names) or {name: name for name in task.class_names}


def write_images(root: Path, keys: Mapping[str, str]) -> None:
    """Write a small image for every key below a folder."""
    root.mkdir(parents=True, exist_ok=True)
    first: Path | None = None
    for key in keys:
        file = root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        if first is None:
            Image.new("RGB", (8, 8), (200, 90, 40)).save(file, "JPEG")
            first = file
        elif not file.exists():
            file.hardlink_to(first)


def write_dtd(folder: Path, task: PublishedTask) -> Content:
    """Write ``labels/SPLIT1.txt`` with CLASS/FILE."""
    content: Content = {}
    for at, split in enumerate(("train", "val", "test")):
        content[split] = {f"{name}/{name}_{at:04d}.jpg": name for name in task.class_names}
        write_images(folder / "dtd/dtd/images", content[split])
        lists = folder / f"dtd/dtd/labels/{split}1.txt"
        lists.parent.mkdir(exist_ok=True)
        lists.write_text("".join(f"{key}\n" for key in content[split]))
    return content


def write_pets(folder: Path, task: PublishedTask) -> Content:
    """Write ``annotations/SPLIT.txt`` with STEM CLASS SPECIES BREED, classes from 1."""
    content: Content = {}
    root = folder / "oxford-iiit-pet"
    for split, numbers in {"trainval": range(1, 6), "test": range(101, 103)}.items():
        lines = []
        keys = content["train" if split == "trainval" else split] = {}
        for label, name in enumerate(task.class_names, 1):
            stem = name.replace(" ", "_")
            stem = stem if name in CATS else stem.lower()
            lines += [f"{stem}_{at} {label} {1 if name in CATS else 2} 1\n" for at in numbers]
            keys |= {f"{stem}_{at}.jpg": name for at in numbers}
        write_images(root / "images", keys)
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/{split}.txt").write_text("".join(lines))
    return content


def write_food101(folder: Path, task: PublishedTask) -> Content:
    """Write ``meta/SPLIT.json`` with CLASS to CLASS/NUMBER."""
    content: Content = {}
    for first, split in ((1_000, "train"), (2_000, "test")):
        listed = {v: [f"{v}/{first + at}" for at in range(5)] for v in spelt(task)}
        content[split] = {f"{k}.jpg": spelt(task)[v] for v, keys in listed.items() for k in keys}
        write_images(folder / "food-101/images", content[split])
        meta = folder / f"food-101/meta/{split}.json"
        meta.parent.mkdir(exist_ok=True)
        meta.write_text(json.dumps(listed))
    return content


def write_caltech101(folder: Path, task: PublishedTask) -> Content:
    """Write ``101_ObjectCategories/CLASS/image_0001.jpg``, and the background."""
    keys = {
        f"{v}/image_{at:04d}.jpg": name for v, name in spelt(task).items() for at in range(1, 9)
    }
    root = folder / "caltech101/101_ObjectCategories"
    write_images(root, keys | {"BACKGROUND_Google/image_0001.jpg": ""})
    return {"all": keys}


def write_eurosat(folder: Path, task: PublishedTask) -> Content:
    """Write ``2750/CLASS/CLASS_1.jpg``."""
    keys = {f"{v}/{v}_{at}.jpg": name for v, name in spelt(task).items() for at in range(1, 6)}
    write_images(folder / "eurosat/2750", keys)
    return {"all": keys}


def write_country211(folder: Path, task: PublishedTask) -> Content:
    """Write ``train|valid|test/COUNTRY/IMAGE``."""
    content: Content = {}
    for split, name in {"train": "train", "val": "valid", "test": "test"}.items():
        content[split] = {f"{name}/{v}/{v}_1.jpg": ours for v, ours in spelt(task).items()}
        write_images(folder / "country211", content[split])
    return content


def write_sun397(folder: Path, task: PublishedTask) -> Content:
    """Write ``Partitions/Training_01.txt`` with /a/abbey/FILE."""
    content: Content = {}
    for split, name in {"train": "Training", "test": "Testing"}.items():
        keys = {
            f"{v}/sun_{split}{at}.jpg": ours for v, ours in spelt(task).items() for at in range(3)
        }
        content[split] = keys
        write_images(folder / "SUN397", keys)
        lists = folder / f"Partitions/{name}_01.txt"
        lists.parent.mkdir(exist_ok=True)
        lists.write_text("".join(f"/{key}\n" for key in keys))
    return content


def write_cub(folder: Path, task: PublishedTask) -> Content:
    """Write ``images.txt`` with NUMBER FILE and ``train_test_split.txt`` with NUMBER MARK."""
    root = folder / "CUB_200_2011"
    content: Content = {"train": {}, "test": {}}
    files: list[str] = []
    marks: list[str] = []
    for vendor, ours in spelt(task).items():
        for at in range(7):
            key = f"{vendor}/{vendor.partition('.')[2]}_{at:04d}_{len(files)}.jpg"
            files.append(f"{len(files) + 1} {key}\n")
            marks.append(f"{len(files)} {int(at < 5)}\n")
            content["train" if at < 5 else "test"][key] = ours
    for keys in content.values():
        write_images(root / "images", keys)
    (root / "images.txt").write_text("".join(files))
    (root / "train_test_split.txt").write_text("".join(marks))
    return content


def write_coop(folder: Path, task: PublishedTask) -> Content:
    """Write CoOp's ``split_zhou_NAME.json``: FILE, NUMBER and CLASS by split."""
    origin = task.origins[0]
    assert isinstance(origin, ListOrigin)
    listed: dict[str, list[tuple[str, int, str]]] = {"train": [], "val": [], "test": []}
    content: Content = {split: {} for split in listed}
    for number, (vendor, ours) in enumerate(spelt(task).items()):
        for at, split in enumerate(listed):
            in_folder = origin.classes == "folder"
            key = f"{vendor}/v_{at}.jpg" if in_folder else f"image_{number}_{at}.jpg"
            listed[split].append((key, number, "what CoOp calls it" if in_folder else vendor))
            content[split][key] = ours
    for keys in content.values():
        write_images(folder / origin.images, keys)
    path = origin.listed_in("train", folder)
    path.write_text(json.dumps(listed))
    return content


def write_resisc45(folder: Path, task: PublishedTask) -> Content:
    """Write ``NWPU-RESISC45/CLASS/CLASS_001.jpg``."""
    keys = {f"{v}/{v}_{at:03d}.jpg": name for v, name in spelt(task).items() for at in range(1, 6)}
    write_images(folder / "NWPU-RESISC45", keys)
    return {"all": keys}


def write_imagenet(folder: Path, task: PublishedTask) -> Content:
    """Write ``train/WNID/IMAGE`` and ``val/WNID/IMAGE``, and the folders of the shifted splits."""
    content: Content = {}
    for origin in task.origins:
        assert isinstance(origin, FoldersOrigin)
        for split, name in origin.splits.items():
            images = range(2 if split == "train" else 1)
            content[split] = {
                f"{vendor}/{vendor}_{at}.JPEG": ours
                for vendor, ours in origin.class_names.items()
                for at in images
            }
            write_images(folder / name, content[split])
    return content


WRITERS: dict[str, Callable[[Path, PublishedTask], Content]] = {
    "dtd": write_dtd, "pets": write_pets, "food101": write_food101,
    "caltech101": write_caltech101, "eurosat": write_eurosat, "country211": write_country211,
    "sun397": write_sun397, "cub": write_cub, "ucf101": write_coop, "resisc45": write_resisc45,
    **{f"{name}-zhou": write_coop for name in (
        "caltech101", "cars", "dtd", "eurosat", "flowers", "food101", "pets", "sun397",
    )},
}  # fmt: skip
"""What writes a copy of a single-label task in a folder, and returns its content."""


def write_copy(home: Home, task: PublishedTask) -> Content:
    """Write a small copy of a task where it is kept, and return its content."""
    folder = task.folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[task.name](folder, task)
