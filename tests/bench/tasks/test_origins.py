"""Copies of one task from several vendors: labels agree by name, and what is wrong is refused."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.config import parse_config
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.missing import MissingError
from bench.core.names import composed
from bench.core.paths import Home
from bench.core.task import SPLITS
from bench.tasks import PublishedTask
from bench.tasks.readers.origin import count_table
from tests.support.origins import (
    Table,
    numbered,
    write_folders,
    write_parquet,
    write_webdataset,
)

OURS = ("apple", "banana", "cherry")
VENDORS = {"CHERRY": "cherry", "APPLE": "apple", "BANANA": "banana"}
"""Another vendor's spelling and order."""
TABLE: Table = {
    "train": ["apple", "banana", "cherry", "apple"],
    "val": ["cherry", "banana", "apple"],
    "test": ["banana", "apple", "cherry", "cherry", "banana"],
}

Write = Callable[[Path, Table, Sequence[str]], None]


def vendors(table: Table) -> Table:
    spelt = {ours: vendor for vendor, ours in VENDORS.items()}
    return {split: [spelt[name] for name in listed] for split, listed in table.items()}


ORIGINS: dict[str, tuple[Json, Write]] = {
    "parquet": (
        {"repository": "lab/fruit", "splits": {s: f"data/{s}-*.parquet" for s in SPLITS}},
        write_parquet,
    ),
    "webdataset": (
        {"repository": "clip-benchmark/wds_fruit", "splits": {s: f"{s}/*.tar" for s in SPLITS}},
        write_webdataset,
    ),
    "folders": (
        {"splits": {s: f"sorted/{s}" for s in SPLITS}},
        lambda folder, table, _: write_folders(folder, table),
    ),
}
PLACES = {
    "parquet": "lab--fruit",
    "webdataset": "clip-benchmark--wds_fruit",
    "folders": "sorted",
}


def fruit(
    *readers: str, table: Table = TABLE, spelt: bool = True, **fields: object
) -> PublishedTask:
    """Return a task with origins that spell its classes in another way and order."""
    names = {"class_names": VENDORS} if spelt else {}
    values = {
        "name": "fruit",
        "version": 1,
        "class_names": OURS,
        "templates": ["a photo of a {}."],
        "domain_texts": ["a photo."],
        "split_sizes": {split: len(listed) for split, listed in table.items()},
        "origins": [{"reader": reader, **ORIGINS[reader][0], **names} for reader in readers],
        **fields,
    }
    return parse_config(PublishedTask, values, "the task fruit")


def place(home: Home, reader: str) -> Path:
    return home.tasks / "fruit" / PLACES[reader]


def write(home: Home, reader: str, table: Table = TABLE, names: Sequence[str] = ()) -> None:
    ORIGINS[reader][1](place(home, reader), vendors(table), names or tuple(VENDORS))


@pytest.mark.parametrize("reader", ORIGINS)
def test_labels_map_by_name_whatever_the_vendors_order_and_spelling(
    home: Home, reader: str
) -> None:
    write(home, reader)
    task = fruit(reader)
    task.check(home)
    for name in SPLITS:
        split = task.split(name, home)
        assert split.files
        assert all(place(home, reader) in file.parents for file in split.files)
        images = {(number, OURS.index(of)) for number, of in numbered(TABLE)[name]}
        read = {(colour(split.read(at)), label) for at, label in enumerate(split.labels.tolist())}
        assert read == {(colour_of(number), label) for number, label in images}


def colour(image: object) -> bytes:
    return bytes(np.asarray(image)[0, 0])


def colour_of(number: int) -> bytes:
    return bytes((number % 256, number // 256 % 256, 90))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        # Names of classes are composed (NFC), as those of a task's file are.
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8).map(composed),
        min_size=2, max_size=6, unique_by=str.casefold,
    ),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_origins_written_from_one_table_have_equal_labels_by_name(
    names: list[str], random: Random
) -> None:
    table: Table = {s: [*names, *random.choices(names, k=random.randrange(5))] for s in SPLITS}
    for listed in table.values():
        random.shuffle(listed)
    orders = [random.sample(names, len(names)) for _ in range(3)]
    with TemporaryDirectory() as root:
        home = Home(Path(root))
        values = {"class_names": orders[0], "class_counts": {}}
        task = fruit(*ORIGINS, table=table, spelt=False, **values)
        origins = [
            msgspec.structs.replace(origin, class_names={name: name for name in order})
            for origin, order in zip(task.origins, [*orders[1:], orders[0]], strict=True)
        ]
        task = msgspec.structs.replace(task, origins=tuple(origins))
        for reader, order in zip(ORIGINS, [*orders[1:], orders[0]], strict=True):
            ORIGINS[reader][1](place(home, reader), table, order)
        counts = {s: Counter(listed) for s, listed in table.items()}
        tables = []
        for variant in task.variants:
            splits = [variant.split(name, home) for name in SPLITS]
            for split in splits:
                found = Counter(task.class_names[label] for label in split.labels.tolist())
                assert found == counts[split.name]
            tables.append([count_table(split, task.class_names) for split in splits])
        assert tables[0] == tables[1] == tables[2]


def test_the_first_origin_that_is_there_is_read_and_tells_itself_apart(home: Home) -> None:
    task = fruit("parquet", "folders")
    with pytest.raises(MissingError, match=r"bench fetch --task fruit"):
        task.check(home)
    write(home, "folders")
    assert task.at(home).notes() == ["the task fruit is read from folders:sorted/train"]
    folders = task.at(home).fingerprint
    write(home, "parquet")
    assert task.at(home).notes() == ["the task fruit is read from parquet:lab/fruit"]
    prints = [variant.fingerprint for variant in task.variants]
    assert prints == [task.at(home).fingerprint, folders]
    assert len(set(prints)) == 2


def test_what_is_said_of_a_task_does_not_make_it_another(home: Home) -> None:
    task = fruit("folders")
    said = msgspec.structs.replace(task, citation="someone", licence="CC BY 4.0")
    assert said.fingerprint == task.fingerprint
    assert fruit("folders", val_of_train=0.1).fingerprint != task.fingerprint


# The twelve ways in which a copy is wrong, as far as a reader can meet them.
def permuted(home: Home, reader: str) -> None:
    write(home, reader, names=("APPLE", "CHERRY", "BANANA"))


def ours_for_theirs(home: Home, reader: str) -> None:
    ORIGINS[reader][1](place(home, reader), TABLE, OURS)


def swapped(home: Home, reader: str) -> None:
    write(home, reader, {**TABLE, "val": TABLE["test"], "test": TABLE["val"]})


def one_short(home: Home, reader: str) -> None:
    write(home, reader, {**TABLE, "test": TABLE["test"][:-1]})


def twice(home: Home, reader: str) -> None:
    write(home, reader, {**TABLE, "test": [*TABLE["test"], "apple"]})


def other_counts(home: Home, reader: str) -> None:
    write(home, reader, {**TABLE, "test": ["banana", "apple", "cherry", "apple", "banana"]})


def class_missing(home: Home, reader: str) -> None:
    table = {split: ["apple" if n == "cherry" else n for n in of] for split, of in TABLE.items()}
    write(home, reader, table, ("APPLE", "BANANA"))


def split_missing(home: Home, reader: str) -> None:
    write(home, reader, {split: of for split, of in TABLE.items() if split != "val"})


def one_based(home: Home, reader: str) -> None:
    if reader == "webdataset":
        write_webdataset(place(home, reader), vendors(TABLE), tuple(VENDORS), first=1)
    else:
        names = list(VENDORS)
        labels = lambda name: names.index(name) + 1  # noqa: E731
        write_parquet(place(home, reader), vendors(TABLE), names, labels=labels)


def without_names(home: Home, reader: str) -> None:
    names = list(VENDORS)
    write_parquet(place(home, reader), vendors(TABLE), None, labels=names.index)


FAULTS = [
    ("parquet", permuted, r"other class names, or in another order: number 0 is 'APPLE', expected"),
    ("webdataset", permuted, r"classnames.txt has other .*number 0 is 'APPLE', expected 'CHERRY'"),
    ("parquet", ours_for_theirs, r"other class names: .*not 'CHERRY' and 'apple'"),
    ("webdataset", ours_for_theirs, r"other class names: .*not 'CHERRY' and 'apple'"),
    ("folders", ours_for_theirs, r"other class names: .*not 'CHERRY' and 'apple'"),
    *[(reader, swapped, "split val has 5 images, not 3") for reader in ORIGINS],
    *[(reader, one_short, "split test has 4 images, not 5") for reader in ORIGINS],
    *[(reader, twice, "split test has 6 images, not 5") for reader in ORIGINS],
    *[(reader, other_counts, "split test has other numbers of images") for reader in ORIGINS],
    *[(reader, class_missing, "2 where 3 are expected; not 'CHERRY'") for reader in ORIGINS],
    ("parquet", split_missing, r"has no file data/val-\*.parquet of split val"),
    ("webdataset", split_missing, r"has no file val/\*.tar of split val"),
    ("folders", split_missing, r"sorted/val is not there"),
    ("parquet", one_based, "labels outside its classes: from 1 to 3, expected from 0 to 2"),
    ("webdataset", one_based, r"there is no class 3"),
    ("parquet", without_names, "the numbers in 'label' have no names"),
]


@pytest.mark.parametrize(("reader", "plant", "said"), FAULTS)
def test_a_wrong_copy_is_refused_with_what_was_expected_and_found(
    home: Home, reader: str, plant: Callable[[Home, str], None], said: str
) -> None:
    right = fruit(reader)
    write(home, reader)
    counts = {s: count_table(right.split(s, home), OURS) for s in SPLITS}
    task = fruit(reader, class_counts=counts)
    task.check(home)
    for file in sorted(place(home, reader).rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    plant(home, reader)
    with pytest.raises(RequestError, match=said) as refused:
        task.check(home)
    assert refused.value.what.startswith("task fruit: ")
    assert "\n" not in str(refused.value)
    assert refused.value.fix == task.remedy(home)
