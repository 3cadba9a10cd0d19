"""The sources that take images from outside, on real ones: equal labels by every way in."""

import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
import pytest

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Queries, Query, Task
from bench.plugins import source_of
from bench.storage.image_codec import ImageFormat, decode
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from sources.screening.dedup import REMOVED
from tests.real.captions import MatcherByHand, captioned
from tests.real.conftest import served
from tests.real.pictures import Picture, same
from tests.real.tasks import write, write_emoji_task
from tests.support.contexts import context, image_of
from tests.support.held_pools import add, write_folder, write_table, write_tar
from tests.support.source_options import options_of

GROUPS = ("Animals & Nature", "Food & Drink")
LARGE = {"images__size": 256, "suffix": ".png"}
"""No emoji is reduced, and all images come back to the pixel."""


class Place(NamedTuple):
    """A home and a task in it."""

    home: Home
    task: Task

    def collect(self, source: str, options: Json, n: int | None = None) -> ImageSet:
        return source_of(source, options).collect(context(self.home, self.task, n))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, emoji: list[Picture]) -> Place:
    """A task of two groups, asked for by all names of what is in them, in twelve languages."""
    root = tmp_path_factory.mktemp("sources")
    write_emoji_task(root / "task", [one for one in emoji if one.group in GROUPS][::9])
    task = find_task(str(root / "task"))
    names: dict[str, dict[str, None]] = {group: {} for group in GROUPS}
    for one in emoji:
        if one.group in GROUPS:
            names[one.group] |= dict.fromkeys(one.names.values())
    queries: Queries = {group: Query(any=tuple(named)) for group, named in names.items()}
    return Place(Home(root / "home"), msgspec.structs.replace(task, queries=queries))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, emoji: list[Picture]) -> Path:
    """Class folders of half of the third vendor's emoji."""
    folder = tmp_path_factory.mktemp("own") / "tree"
    for one in emoji:
        if one.origin == "openmoji" and one.group in GROUPS and int(one.file[:-4], 16) % 2:
            write(folder, one)
    return folder


def contents(images: ImageSet) -> Counter[tuple[str, str]]:
    return Counter(images.index().select("class_name", "sha256").iter_rows())


def folder_options(path: Path) -> Json:
    return options_of("folder", path=str(path), filter__model="clip", **LARGE)


def test_class_folders_and_tars_give_the_same_images_under_the_same_labels(
    place: Place, own: Path, tmp_path: Path
) -> None:
    from_tree = place.collect("folder", folder_options(own))
    assert from_tree.manifest.stage_counts["unreadable"] == 0
    with tarfile.open(tmp_path / "own.tar", "w") as tar:
        for at, file in enumerate(sorted(own.rglob("*.png"))):
            tar.add(file, f"{at:05d}.png")
            add(tar, f"{at:05d}.cls", file.parent.name.encode())
    from_tar = place.collect("folder", folder_options(tmp_path))
    assert contents(from_tar) == contents(from_tree)
    assert len(from_tree) > 100


def test_the_task_s_own_images_and_a_folder_s_mix(place: Place, own: Path) -> None:
    real = options_of("real", **LARGE)
    alone = place.collect("real", real)
    assert len(alone) == place.task.split_sizes["train"]
    parts = {"real": 0.25, "folder": 0.75}
    mixed = place.collect(
        "mixed", {"parts": parts, "options": {"real": real, "folder": folder_options(own)}}, 60
    )
    assert mixed.index()["origin"].value_counts().sort("origin").rows() == [
        ("folder", 45), ("real", 15)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def pairs(
    emoji: list[Picture], foods: list[Picture], photos: list[Picture]
) -> dict[str, tuple[Picture, str]]:
    """The last part of an address to a picture and a caption in one of its languages."""
    few = [one for one in emoji if one.origin == "openmoji" and one.group in GROUPS]
    return {
        f"{picture.origin}-{picture.file}": (picture, spelt[at % len(spelt)][1])
        for at, picture in enumerate([*few[::2], *foods[::4], *photos[::8]])
        for spelt in [captioned([picture])]
    }


Pairs = dict[str, tuple[Picture, str]]


class Retrieved(NamedTuple):
    """What was retrieved through addresses.

    Attributes:
        images: The images.
        host: The server of their addresses.
    """

    images: ImageSet
    host: str


def retrieval(pool: Path, **more: object) -> Json:
    return options_of(
        "retrieved", pool=str(pool), matcher="phrase", ambiguous="drop", shard_size=200,
        filter__model="clip", tau=-1, **LARGE, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def retrieved(
    place: Place, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Retrieved]:
    """What the pool of addresses gives, all served on loopback."""
    root = tmp_path_factory.mktemp("web")
    (root / "site").mkdir()
    (root / "pool").mkdir()
    for name, (picture, _) in pairs.items():
        (root / "site" / name).write_bytes(picture.content)
    with served(root / "site") as host:
        captions = [caption for _, caption in pairs.values()]
        pl.DataFrame(
            {"URL": [f"http://{host}/{name}" for name in pairs], "TEXT": captions}
        ).write_parquet(root / "pool" / "pairs.parquet")
        yield Retrieved(
            place.collect("retrieved", retrieval(root / "pool", allow_private=[host])), host
        )


def test_what_is_retrieved_is_what_every_comparison_finds(
    place: Place, pairs: Pairs, retrieved: Retrieved
) -> None:
    by_hand = MatcherByHand(place.task, "phrase")
    wanted = {
        f"http://{retrieved.host}/{name}": (picture, classes.pop())
        for name, (picture, caption) in pairs.items()
        if len(classes := by_hand.find(caption)) == 1
    }
    counts, rows = retrieved.images.manifest.stage_counts, retrieved.images.index()
    assert counts["matched"] == counts["fetched"] == len(wanted) > 100
    dropped = sum(counts["duplicates"][reason] for reason in REMOVED)
    assert rows.height == len(wanted) - dropped > 100
    for row in rows.iter_rows(named=True):
        picture, name = wanted[row["url"]]
        assert row["class_name"] == name
        shown = ImageFormat(size=256).fitted(decode(picture.content))
        assert same(image_of(place.home, row), shown), row["url"]


@pytest.mark.parametrize("kind", ["tars", "tables", "folder"])
def test_a_pool_that_holds_its_images_gives_the_same(
    kind: str, place: Place, pairs: Pairs, retrieved: Retrieved, tmp_path: Path
) -> None:
    held = [
        {"caption": caption, "image": picture.content, "url": f"http://{retrieved.host}/{name}"}
        for name, (picture, caption) in pairs.items()
    ]
    match kind:
        case "tars":
            for part in range(3):
                write_tar(tmp_path / f"{part:05d}.tar", held[part::3])
        case "tables":
            write_table(tmp_path / "all.parquet", held)
        case "folder":
            write_folder(tmp_path, held)
    images = place.collect("retrieved", retrieval(tmp_path))
    assert contents(images) == contents(retrieved.images)
