"""One task of real pictures as every layout that is read has it: equal images under equal names."""

import csv
import tarfile
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.core.paths import Home
from bench.core.task import SPLITS
from bench.tasks import find_task
from tests.real.pictures import Picture
from tests.real.tasks import write_emoji_task
from tests.support.held_pools import add
from tests.support.origins import features

GROUPS = ("Animals & Nature", "Food & Drink")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, emoji: list[Picture]) -> Path:
    """The task as split and class folders."""
    folder = tmp_path_factory.mktemp("layouts") / "tree"
    write_emoji_task(folder, [one for one in emoji if one.group in GROUPS][::5])
    return folder


def listed(tree: Path) -> list[tuple[str, str, Path]]:
    """Return split, class and file of each image."""
    return [
        (split, file.parent.name, file)
        for split in SPLITS
        for file in sorted((tree / split).glob("*/*"))
    ]


def as_table(tree: Path, folder: Path) -> str:
    """Write all images into one folder, and a metadata.csv that says what they are."""
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file_name", "label", "split"])
        for at, (split, name, file) in enumerate(listed(tree)):
            (folder / f"{at}{file.suffix}").write_bytes(file.read_bytes())
            rows.writerow([f"{at}{file.suffix}", name, split])
    return str(folder)


def as_webdataset(tree: Path, folder: Path) -> str:
    """Write a tar per split, its labels numbers of names in an order of its own."""
    folder.mkdir()
    names = GROUPS[::-1]
    (folder / "classnames.txt").write_text("\n".join(names) + "\n")
    for split in SPLITS:
        (folder / split).mkdir()
        with tarfile.open(folder / split / "0.tar", "w") as tar:
            for at, (of, name, file) in enumerate(listed(tree)):
                if of == split:
                    add(tar, f"s{at:07d}{file.suffix}", file.read_bytes())
                    add(tar, f"s{at:07d}.cls", str(names.index(name)).encode())
    return f"wds:{folder}"


def as_hub_data_set(tree: Path, folder: Path) -> str:
    """Write Parquet as the Hub has it, where `bench fetch` would put it."""
    data = Home(folder).tasks / "hf/lab/emoji@v1/data"
    data.mkdir(parents=True)
    names = GROUPS[::-1]
    for split in SPLITS:
        rows = [(name, file) for of, name, file in listed(tree) if of == split]
        table = pa.table(
            {
                "image": [{"bytes": file.read_bytes(), "path": file.name} for _, file in rows],
                "label": [names.index(name) for name, _ in rows],
            }
        ).replace_schema_metadata({b"huggingface": features(names)})
        pq.write_table(table, data / f"{split}-00000-of-00001.parquet", row_group_size=20)
    return "hf:lab/emoji@v1"


def images(name: str, home: Home) -> Counter[tuple[str, str, str]]:
    """Return split, class and pixels of all images of a task."""
    task = find_task(name)
    return Counter(
        (split, task.class_names[label], sha256(opened.read(at).tobytes()).hexdigest())
        for split in SPLITS
        for opened in [task.split(split, home)]
        for at, label in enumerate(opened.labels)
    )


@pytest.mark.parametrize("layout", [as_table, as_webdataset, as_hub_data_set])
def test_a_task_is_the_same_in_every_layout(
    layout: Callable[[Path, Path], str], tree: Path, home: Home
) -> None:
    name = layout(tree, home.root)
    assert images(name, home) == images(str(tree), home)
    assert sum(images(name, home).values()) > 100
