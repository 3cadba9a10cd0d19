"""The renderer as a source: clean images, or those of captions that say what they fix."""

import itertools
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from adapt.batches.groups import grouped
from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.miniworld.composition import POOL_SEED_LIMIT, SPLITS
from bench.miniworld.render import ASPECTS, CLASSES
from bench.miniworld.scenes import MOST_COPIES, seeds_of
from bench.plugins import full_options, source_of, sources
from bench.plugins.objective import Needs
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from sources.rendered import SCENES_PER_BLOCK
from tests.support.contexts import context, image_of

MINI = find_task("mini-flowers")
KEPT = {"images": {"size": 32, "suffix": ".png"}}


def collected(home: Home, n: int | None, **options: Any) -> ImageSet:
    source = source_of("rendered", KEPT | {"captions": True} | options)
    return source.collect(context(home, MINI, n))


def pixels(home: Home, row: dict[str, Any]) -> NDArray[np.int64]:
    return np.asarray(image_of(home, row)).astype(np.int64)


def test_k_images_of_each_of_n_kth_captions(home: Home) -> None:
    rows = collected(home, 64, images_per_caption=4, fixes=["view"]).select(64, 0, "balanced")
    assert rows.height == 64
    captions = rows.group_by("label", "caption").agg("copy", "pair", "class_name")
    assert captions.height == 16
    for copies, names, pairs in captions.select("copy", "class_name", "pair").iter_rows():
        assert sorted(copies) == [0, 1, 2, 3]
        assert len(set(names)) == len(set(pairs)) == 1
    first = rows.row(0, named=True)
    assert first["caption"].startswith(f"a photo of a {first['class_name']}, scene ")
    assert first["caption"].endswith(": view")
    # A scene is rendered with every class, and captions of it differ in nothing else.
    for pair, names in rows.group_by("pair").agg("class_name").iter_rows():
        assert sorted(names) == sorted(4 * list(CLASSES["flowers"]))
        filled = {pair.replace("{}", name) for name in names}
        assert filled == set(rows.filter(pair=pair)["caption"])
    needs = Needs(group="caption", per_group=4, coupled=True)
    assert grouped(rows, needs).images_left_out == 0


def test_a_sample_has_whole_scenes(home: Home) -> None:
    images = collected(home, 8, images_per_caption=2, size=96)
    assert len(images) == 96
    samples = [images.select(32, seed, "random") for seed in range(3)]
    for rows in samples:
        assert rows["pair"].value_counts()["count"].to_list() == [16, 16]
    assert len({frozenset(rows["pair"]) for rows in samples}) > 1


def test_a_larger_n_adds_captions_and_changes_none(home: Home) -> None:
    assert SCENES_PER_BLOCK * len(MINI.class_names) < 200
    small, large = (collected(home, n).index() for n in (24, 200))
    assert (small.height, large.height) == (24, 200)
    facts = ("key", "caption", "pair", "seed", "sha256")
    assert large.select(facts).head(24).rows() == small.select(facts).rows()
    assert large["sha256"].n_unique() == 200


@pytest.mark.parametrize("fixes", [[], [*ASPECTS]], ids=["nothing", "everything"])
def test_images_of_a_caption_are_alike_in_what_it_fixes(home: Home, fixes: list[str]) -> None:
    rows = collected(home, 24, images_per_caption=3, fixes=fixes).index()
    for _, copies in rows.group_by("caption"):
        shown = [pixels(home, row) for row in copies.iter_rows(named=True)]
        for one, other in itertools.combinations(shown, 2):
            assert not np.array_equal(one, other)
            # Grain, of a standard deviation of at most 2, is each image's own.
            assert (np.abs(one - other).max() < 20) == bool(fixes)


def test_seeds_are_of_no_split_and_not_of_the_pool(home: Home) -> None:
    rows = collected(home, 24, images_per_caption=3).index()
    latest = max(first + count for count, first in SPLITS.values())
    first = rows["seed"].min()
    assert isinstance(first, int)
    assert first >= seeds_of(0).start > max(latest, POOL_SEED_LIMIT)
    assert seeds_of(0).stop == seeds_of(1).start
    # Those of a class are each another's.
    assert rows.group_by("label").agg(pl.col("seed").n_unique() == 3)["seed"].all()


def test_renders_without_captions_are_the_same_run_as_ever() -> None:
    assert full_options(sources, "rendered", KEPT).keys() == {"images"}
    same = [
        full_options(sources, "rendered", {"captions": True, "fixes": fixes})
        for fixes in (["paint", "view"], ["view", "paint", "view"])
    ]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"fixes": ["view"]}, "source.fixes is of renders with captions"),
        ({"images_per_caption": 2}, "source.images_per_caption is of"),
        ({"size": 64}, "source.size is of"),
        ({"captions": True, "fixes": ["pose"]}, "invalid enum value 'pose'"),
        ({"captions": True, "images_per_caption": MOST_COPIES + 1}, "images_per_caption"),
    ],
)
def test_what_contradicts_itself_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError, match=why):
        source_of("rendered", options)


def test_captions_have_no_end(home: Home) -> None:
    with pytest.raises(RequestError, match=r"--set source\.size=NUMBER"):
        collected(home, None)
    assert len(collected(home, None, size=16)) == 16
