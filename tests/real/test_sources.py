"""The sources that take images from outside, on real ones: equal labels by every way in."""

import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
import pytest

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Query, Task
from bench.plugins import source_of
from bench.storage.image_codec import decode
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from sources.screening.dedup import REMOVED
from tests.real.captions import MatcherByHand, captioned
from tests.real.conftest import served
from tests.real.pictures import Picture
from tests.real.tasks import write, write_emoji_task
from tests.support.contexts import context, image_of
from tests.support.source_options import options_of

GROUPS = ("Animals & Nature", "Food & Drink")
LARGE = {"images__size": 256, "suffix": ".png"}
"""No emoji and no food is reduced, so that it comes back to the pixel."""


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
    write_emoji_task(root / "task", [one for one in emoji if one.group in GROUPS][::4])
    task = find_task(str(root / "task"))
    names: dict[str, dict[str, None]] = {group: {} for group in GROUPS}
    for one in emoji:
        if one.group in GROUPS:
            names[one.group] |= dict.fromkeys(one.names.values())
    queries = {group: Query(any=tuple(named)) for group, named in names.items()}
    return Place(Home(root / "home"), msgspec.structs.replace(task, queries=queries))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, emoji: list[Picture]) -> Path:
    """Class folders of the third vendor's emoji."""
    folder = tmp_path_factory.mktemp("own") / "tree"
    for one in emoji:
        if one.origin == "openmoji" and one.group in GROUPS:
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
            label = tmp_path / "label"
            label.write_text(file.parent.name)
            tar.add(file, f"{at:05d}.png")
            tar.add(label, f"{at:05d}.cls")
        label.unlink()
    from_tar = place.collect("folder", folder_options(tmp_path))
    assert contents(from_tar) == contents(from_tree)
    assert len(from_tree) > 250


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
def web(
    tmp_path_factory: pytest.TempPathFactory,
    emoji: list[Picture],
    foods: list[Picture],
    photos: list[Picture],
) -> Iterator[tuple[str, Path, list[tuple[Picture, str]]]]:
    """Pictures on loopback, a pool that names their addresses, and each with its caption."""
    root = tmp_path_factory.mktemp("web")
    pictures = [*(one for one in emoji if one.origin == "openmoji"), *foods, *photos]
    with_captions = [
        (picture, spelt[at % len(spelt)][1])
        for at, picture in enumerate(pictures)
        for spelt in [captioned([picture])]
    ]
    (root / "site").mkdir()
    (root / "pool").mkdir()
    for picture in pictures:
        (root / "site" / f"{picture.origin}-{picture.file}").write_bytes(picture.content)
    with served(root / "site") as host:
        pl.DataFrame(
            {
                "URL": [f"http://{host}/{one.origin}-{one.file}" for one, _ in with_captions],
                "TEXT": [caption for _, caption in with_captions],
            }
        ).write_parquet(root / "pool" / "pairs.parquet")
        yield host, root / "pool", with_captions


def test_what_is_retrieved_is_what_every_comparison_finds(
    place: Place, web: tuple[str, Path, list[tuple[Picture, str]]]
) -> None:
    host, pool, with_captions = web
    options = options_of(
        "retrieved", pool=str(pool), matcher="phrase", ambiguous="drop", allow_private=[host],
        shard_size=200, filter__model="clip", tau=-1, **LARGE,
    )  # fmt: skip
    images = place.collect("retrieved", options)
    by_hand = MatcherByHand(place.task, "phrase")
    wanted = {
        f"http://{host}/{picture.origin}-{picture.file}": (picture, names.pop())
        for picture, caption in with_captions
        if len(names := by_hand.find(caption)) == 1
    }
    counts, rows = images.manifest.stage_counts, images.index()
    assert counts["matched"] == counts["fetched"] == len(wanted) > 200
    dropped = sum(counts["duplicates"][reason] for reason in REMOVED)
    assert rows.height == len(wanted) - dropped > 150
    print(counts, rows.group_by("class_name").len())
    for row in rows.iter_rows(named=True):
        picture, name = wanted[row["url"]]
        assert row["class_name"] == name
        if picture.origin == "openmoji":
            assert np.array_equal(image_of(place.home, row), decode(picture.content))
