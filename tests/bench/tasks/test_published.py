"""The published benchmarks: a label is a class's name, and a split is the official one."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torchvision

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.task import SPLITS, Split
from bench.tasks import PublishedTask
from bench.tasks.readers.torchvision_class import TorchvisionOrigin
from tests.conftest import Bench
from tests.support.published import (
    AIRCRAFT,
    CARS,
    small_aircraft,
    small_cars,
    small_flowers,
    swap,
    write_aircraft,
    write_cars,
    write_flowers,
    write_images,
)

Tasks = Callable[[str], PublishedTask]


@pytest.fixture
def tasks(home: Home, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Return what writes a small copy of a benchmark, and its task."""
    return lambda name: {
        "aircraft": lambda: small_aircraft(home),
        "cars": lambda: small_cars(home),
        "flowers": lambda: small_flowers(home, monkeypatch),
    }[name]()


@pytest.mark.parametrize(
    ("name", "key", "class_name"),
    [
        ("aircraft", "0056978.jpg", "737-500"),
        ("cars", "cars_train/00003.jpg", "smart fortwo Convertible 2012"),
        ("flowers", "image_00002.jpg", "hard-leaved pocket orchid"),
    ],
)
def test_the_official_copy_is_read_by_file_and_class_names(
    tasks: Tasks, home: Home, name: str, key: str, class_name: str
) -> None:
    task = tasks(name)
    task.check(home)
    split = task.split("train", home)
    assert task.class_names[split.labels[list(split.keys).index(key)]] == class_name
    keys = [key for one in SPLITS for key in task.split(one, home).keys]
    assert len(set(keys)) == len(keys)
    # The key is the file whose pixels are read.
    (origin,) = task.origins
    assert isinstance(origin, TorchvisionOrigin)
    file = home.tasks / name / origin.images / split.keys[2]
    with torchvision.datasets.folder.pil_loader(str(file)) as image:
        assert split.read(2).tobytes() == image.tobytes()


def test_the_validation_images_of_cars_do_not_depend_on_the_order_of_the_file(
    tasks: Tasks, home: Home
) -> None:
    task = tasks("cars")
    before = dict.fromkeys(task.split("val", home).keys)
    folder = home.tasks / "cars/stanford_cars"

    class Backwards(PublishedTask, frozen=True, kw_only=True):
        def _official(self, name: str, home: Home) -> Split:
            split = super()._official(name, home)
            back = range(len(split) - 1, -1, -1)
            return Split(
                name, split.keys[::-1], split.labels[::-1], lambda at: split.read(back[at])
            )

    fields = {name: getattr(task, name) for name in task.__struct_fields__}
    after = Backwards(**fields).split("val", home)
    assert dict.fromkeys(after.keys) == before
    assert (folder / after.keys[0]).is_file()


def shuffled_variants(data: Path) -> None:
    write_aircraft(data / "fgvc-aircraft-2013b/data", {}, ("707-320", "Tornado", "737-500"))


def variant_missing(data: Path) -> None:
    write_aircraft(data / "fgvc-aircraft-2013b/data", {}, AIRCRAFT[:2])


def swapped_on_disk(data: Path) -> None:
    lists = data / "fgvc-aircraft-2013b/data"
    swap(lists / "images_variant_val.txt", lists / "images_variant_test.txt")


def edited(split: str, before: str, after: str) -> Callable[[Path], None]:
    def edit(data: Path) -> None:
        file = data / f"fgvc-aircraft-2013b/data/images_variant_{split}.txt"
        assert before in file.read_text()
        file.write_text(file.read_text().replace(before, after))

    return edit


def image_renamed(data: Path) -> None:
    images = data / "fgvc-aircraft-2013b/data/images"
    (images / "0000005.jpg").rename(images / "5.jpg")


def cars_in_another_order(data: Path) -> None:
    write_cars(data / "stanford_cars", {}, CARS[::-1])


def cars_labelled(split: str, right: int) -> Callable[[Path], None]:
    """Label a split as it is for some rounds of the three classes, then backwards once."""
    labels = [*CARS * right, *CARS[::-1]]
    return lambda data: write_cars(data / "stanford_cars", {split: labels})


def cars_counted_from(first: int) -> Callable[[Path], None]:
    """Label the test images with numbers that do not count from one."""
    return lambda data: write_cars(data / "stanford_cars", {"test": list(CARS)}, first=first)


def cars_in_doubled_folders(data: Path) -> None:
    """Unpack as Kaggle's archive does: ``cars_train/cars_train``."""
    folder = data / "stanford_cars/cars_train"
    inner = folder.rename(folder.with_name("aside"))
    folder.mkdir()
    inner.rename(folder / "cars_train")


def cars_without_labels(data: Path) -> None:
    (data / "stanford_cars/cars_test_annos_withlabels.mat").write_bytes(b"not the labels")


def flowers_swapped(data: Path) -> None:
    numbers = {"train": [7, 8, 9, 10, 11, 12], "val": [1, 2, 3, 4, 5, 6], "test": [*range(13, 19)]}
    write_flowers(data / "flowers-102", [1 + at % 3 for at in range(18)], numbers)


def flower_removed(data: Path) -> None:
    (data / "flowers-102/jpg/image_00018.jpg").unlink()


FAULTS = {
    "shuffled variants": ("aircraft", shuffled_variants, "variants.txt has other class names"),
    "a variant is missing": ("aircraft", variant_missing, "images_variant_train.txt: 'Tornado'"),
    "val and test swapped": ("aircraft", swapped_on_disk, "images_variant_val.txt"),
    "a label changed": ("aircraft", edited("train", " 737-500", " Tornado"), "_train.txt"),
    "an image renamed in a list": ("aircraft", edited("test", "0000004", "0000008"), "_test.txt"),
    "an image twice": ("aircraft", edited("test", "0000004", "0000005"), "an image twice"),
    "a line missing": ("aircraft", edited("val", "1340192 707-320\n", ""), "2 images, not 3"),
    "an image file renamed": ("aircraft", image_renamed, "0000005.jpg"),
    "class order of cars": ("cars", cars_in_another_order, "cars_meta.mat has other class names"),
    "a training label of cars": ("cars", cars_labelled("train", 4), "_train_annos.mat"),
    "test labels of cars shuffled": ("cars", cars_labelled("test", 0), "_withlabels.mat"),
    "labels of cars from 0": ("cars", cars_counted_from(0), "from -1 to 1, expected from 0 to 2"),
    "labels of cars from 2": ("cars", cars_counted_from(2), "from 1 to 3, expected from 0 to 2"),
    "doubled folders of cars": ("cars", cars_in_doubled_folders, "cars_train/00001.jpg"),
    "no test labels of cars": ("cars", cars_without_labels, "_withlabels.mat is not a MAT-file"),
    "train and val of flowers swapped": ("flowers", flowers_swapped, "setid.mat is not"),
    "an image of flowers is missing": ("flowers", flower_removed, "image_00018.jpg"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "plant", "said"), FAULTS.values(), ids=FAULTS)
def test_a_copy_that_is_not_the_official_one_is_refused(
    tasks: Tasks, home: Home, name: str, plant: Callable[[Path], None], said: str
) -> None:
    task = tasks(name)
    task.check(home)
    plant(home.tasks / name)
    with pytest.raises(RequestError) as refused:
        task.check(home)
    assert said in refused.value.what
    assert refused.value.fix == task.remedy(home)


def test_another_class_order_in_torchvision_is_refused(
    tasks: Tasks, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks("flowers")
    names = torchvision.datasets.Flowers102.classes
    monkeypatch.setattr(torchvision.datasets.Flowers102, "classes", names[::-1])
    with pytest.raises(RequestError, match=r"Flowers102 has other class.*constraints\.txt"):
        task.check(home)


@pytest.mark.parametrize("name", ["aircraft", "flowers"])
@pytest.mark.parametrize(("first", "second"), [("val", "test"), ("train", "val")])
def test_a_task_that_opens_the_wrong_split_is_refused(
    tasks: Tasks, home: Home, name: str, first: str, second: str
) -> None:
    class Swapped(PublishedTask, frozen=True, kw_only=True):
        def open_split(self, name: str, home: Home) -> Split:
            return super().open_split({first: second, second: first}.get(name, name), home)

    task = tasks(name)
    fields = {field: getattr(task, field) for field in task.__struct_fields__}
    for split in (first, second):
        with pytest.raises(RequestError, match=rf"split {split} has other images"):
            Swapped(**fields).split(split, home)


def test_tasks_with_other_splits_are_other_tasks(tasks: Tasks) -> None:
    task = tasks("aircraft")
    (origin,) = task.origins
    contents = {**origin.split_contents, "val": origin.split_contents["test"]}
    other = msgspec.structs.replace(
        task, origins=(msgspec.structs.replace(origin, split_contents=contents),)
    )
    assert other.fingerprint != task.fingerprint


@pytest.fixture
def wrong_aircraft(home: Home) -> Path:
    """As many images as FGVC-Aircraft has, but others."""
    from bench.tasks import find_task

    task = find_task("aircraft")
    data = home.tasks / "aircraft/fgvc-aircraft-2013b/data"
    lists = {
        split: [(f"{at:07d}.jpg", task.class_names[at % 100]) for at in range(size)]
        for split, size in task.split_sizes.items()
    }
    write_aircraft(data, lists, task.class_names)
    write_images(data / "images", [])
    return home.tasks / "aircraft"


def test_a_run_on_other_splits_is_refused_before_any_work(
    bench: Bench, home: Home, tiny_clip: Path, wrong_aircraft: Path
) -> None:
    words = ("--source", "none", "--task", "aircraft", "--set", f"model={tiny_clip}")
    done = bench("run", *words)
    assert (done.code, done.out) == (2, "")
    assert "split train has other images or other labels than the official" in done.complaint
    assert "images_variant_train.txt" in done.complaint
    assert f"remove {wrong_aircraft}" in done.complaint
    assert not home.runs.exists()


def test_fetching_and_the_doctor_check_what_is_there(bench: Bench, wrong_aircraft: Path) -> None:
    fetched = bench("fetch", "--task", "aircraft")
    assert fetched.code == 2
    assert "images_variant_train.txt" in fetched.complaint
    checked = bench("doctor")
    assert checked.code == 1
    assert "FAIL  task     task aircraft: split train has other images" in checked.out
