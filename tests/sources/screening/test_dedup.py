"""De-duplication: which images count as copies, of what, and what is written about them."""

import io
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from bench.core.paths import Home
from bench.core.task import Split, Task
from bench.storage.image_codec import encode
from bench.storage.tar_shards import sha256
from bench.tasks import find_task
from sources.screening import hamming
from sources.screening.dedup import Deduplicated, drop_duplicates
from sources.screening.framings import framings
from sources.screening.hamming import nearest, pairs_within
from sources.screening.phash import HASH_SCHEMA, HASH_WORDS, Hashes, looks
from tests.support.pools import context
from tests.support.tiny_clip import ColourTask, colour_task


class Textured(ColourTask, frozen=True, kw_only=True):
    """Images with structure, which perceptual hashes tell apart."""

    def open_split(self, name: str, home: Home) -> Split:
        start = {"train": 0, "val": 1000, "test": 2000}[name]
        return split_of(name, [texture(start + at) for at in range(self.split_sizes[name])])


class Photographs(ColourTask, frozen=True, kw_only=True):
    """Pieces of two photographs."""

    def open_split(self, name: str, home: Home) -> Split:
        pieces = [
            Image.fromarray(photograph[y : y + 140, x : x + 150])
            for photograph in load_sample_images().images
            for y in (0, 140, 280)
            for x in (0, 160, 320, 480)
        ]
        return split_of(name, {"train": [], "val": pieces[::2], "test": pieces[1::2]}[name])


VALUES = {name: getattr(colour_task(), name) for name in Task.__struct_fields__}
TEXTURED = Textured(**VALUES)
PHOTOGRAPHS = Photographs(**{**VALUES, "split_sizes": {}})


Change = Callable[[Image.Image], Image.Image]


def texture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def split_of(name: str, images: Sequence[Image.Image]) -> Split:
    keys = [f"{name}-{index}" for index in range(len(images))]
    return Split(name, keys, np.arange(len(images)) % 3, images.__getitem__)


def noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(int)
    noise = np.random.default_rng(0).integers(-5, 6, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype("uint8"))


def recompressed(image: Image.Image, quality: int = 60) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def barred(image: Image.Image) -> Image.Image:
    shown = image.copy()
    shown.paste("white", (0, image.height - 8, image.width, image.height))
    return shown


def cropped(left: float, top: float, right: float, bottom: float) -> Change:
    """Cut off shares of the sides."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (
                round(left * width),
                round(top * height),
                round((1 - right) * width),
                round((1 - bottom) * height),
            )
        )

    return change


def bordered(width: int, colour: str) -> Change:
    return lambda image: recompressed(ImageOps.expand(image, width, colour), 85)


# Two of the twelve pieces are plain sky, whose little structure a change outweighs.
CHANGES: dict[str, tuple[Change, int]] = {
    "recompressed": (recompressed, 11),
    "halved": (lambda image: image.resize((image.width // 2, image.height // 2)), 11),
    "noisy": (noisy, 11),
    "cropped": (cropped(0.04, 0.04, 0.04, 0.04), 11),
    "cropped off centre": (cropped(0.08, 0.01, 0, 0.06), 10),
    "cropped at a corner": (cropped(0, 0, 0.09, 0.09), 10),
    "bordered": (lambda image: ImageOps.expand(image, 8, "white"), 11),
    "bordered in black": (bordered(7, "black"), 10),
    "with a wide border in red": (bordered(25, "#a03020"), 10),
    "mirrored": (ImageOps.mirror, 12),
    "turned": (lambda image: image.rotate(5, Image.Resampling.BICUBIC), 10),
    "turned the other way": (
        lambda image: image.rotate(-3.5, Image.Resampling.BICUBIC, fillcolor="white"),
        10,
    ),
    "turned, all kept": (lambda image: image.rotate(5, Image.Resampling.BICUBIC, expand=True), 10),
    "barred": (barred, 8),
}


def embedded(images: dict[str, Image.Image]) -> pl.DataFrame:
    rows = [(key, sha256(encode(image, ".png")), *looks(image)) for key, image in images.items()]
    schema = {"key": pl.String, "sha256": pl.String} | HASH_SCHEMA
    return pl.DataFrame(rows, schema=schema, orient="row")


def without_copies(
    home: Home, images: dict[str, Image.Image], task: Task = TEXTURED, **more: Any
) -> Deduplicated:
    rows = embedded(images).sample(len(images), shuffle=True, seed=3)
    return drop_duplicates(rows, context(home, task), **more)


hash_lists = st.lists(st.lists(st.integers(0, 7), min_size=4, max_size=4), max_size=25)


def as_hashes(rows: Sequence[Sequence[int]]) -> Hashes:
    return np.array(rows, np.uint64).reshape(-1, 4)


def words_of(numbers: Iterable[int]) -> Hashes:
    """Return numbers of 256 bits as hashes, in ascending order."""
    return as_hashes([[n >> 64 * word & 2**64 - 1 for word in range(4)] for n in sorted(numbers)])


def bits(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(int(a ^ b).bit_count() for a, b in zip(left, right, strict=True))


@settings(max_examples=20, deadline=None)
@given(hash_lists, hash_lists, st.integers(0, 12))
def test_a_reference_is_found_if_and_only_if_one_is_near(
    hashes: list[list[int]], references: list[list[int]], most: int
) -> None:
    """The hashes differ in bits that are not sampled, so that every pair is compared."""
    places, distances = nearest(as_hashes(hashes), as_hashes(references), most)
    for own, place, distance in zip(hashes, places, distances, strict=True):
        apart = [bits(own, reference) for reference in references]
        near = [at for at, bits_apart in enumerate(apart) if bits_apart == min(apart, default=0)]
        found = bool(apart) and min(apart) <= most
        assert (place, distance) == ((near[0], min(apart)) if found else (-1, 257))


flipped = st.lists(st.integers(0, 255), max_size=40, unique=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(flipped, min_size=2, max_size=12), st.integers(0, 31))
def test_all_pairs_within_a_distance_are_found(changes: list[list[int]], most: int) -> None:
    base = int.from_bytes(np.random.default_rng(len(changes)).bytes(32), "little")
    hashes = words_of({base ^ sum(1 << bit for bit in change) for change in changes})
    left, right, apart = (part.tolist() for part in pairs_within(hashes, most))
    distances = {
        (i, j): bits(hashes[i].tolist(), hashes[j].tolist())
        for i, j in combinations(range(len(hashes)), 2)
    }
    assert dict(zip(zip(left, right, strict=True), apart, strict=True)) == {
        pair: distance for pair, distance in distances.items() if distance <= most
    }


def test_many_variants_of_one_picture_are_all_pairs() -> None:
    rng = np.random.default_rng(0)
    base = int.from_bytes(rng.bytes(32), "little")
    changes = {sum(1 << int(bit) for bit in rng.choice(256, 6, replace=False)) for _ in range(150)}
    left, right, apart = pairs_within(words_of(base ^ change for change in changes), 31)
    count = len(changes) * (len(changes) - 1) // 2
    assert len(set(zip(left, right, strict=True))) == len(left) == count
    assert apart.max() <= 12


def test_searching_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    hashes = np.unique(rng.integers(0, 2**3, (60, 4)).astype(np.uint64), axis=0)

    def found() -> list[Any]:
        parts = (*nearest(hashes, hashes[::-7], 9), *pairs_within(hashes, 5))
        return [part.tolist() for part in parts]

    whole = found()
    assert len(whole[2]) > 60
    monkeypatch.setattr(hamming, "_CANDIDATES", 5)
    assert found() == whole


def test_copies_of_benchmark_images_and_repeats_are_removed(home: Home) -> None:
    images = {
        "a": texture(5001), "b": texture(5002), "c-same-as-a": texture(5001),
        "d-near-b": recompressed(texture(5002)),
        "e-val": texture(1002), "f-test": noisy(texture(2003)), "g-train": texture(3),
    }  # fmt: skip
    unique = without_copies(home, images)
    assert unique.rows["key"].to_list() == ["a", "b", "g-train"]
    expected = {"copies of val or test images": 2, "equal bytes": 1, "near copies": 1}
    expected |= {"copies of train images": 1}
    assert {name: unique.counts[name] for name in expected} == expected
    removed = unique.copies.filter("removed")
    assert removed.select("key", "kept", "split", "image").rows() == [
        ("c-same-as-a", "a", None, None),
        ("d-near-b", "b", None, None),
        ("e-val", None, "val", "val-2"),
        ("f-test", None, "test", "test-3"),
    ]
    assert removed["distance"][1] > 0
    assert removed["distance"][2] == 0


@pytest.mark.parametrize(("change", "least"), CHANGES.values(), ids=CHANGES)
def test_a_changed_photograph_of_the_test_split_is_recognised(
    home: Home, change: Change, least: int
) -> None:
    split = PHOTOGRAPHS.split("test", home)
    images = {key: change(split.read(index)) for index, key in enumerate(split.keys)}
    unique = without_copies(home, images, PHOTOGRAPHS)
    assert least <= unique.counts["copies of val or test images"] <= len(split) == 12


def test_other_images_are_no_copies(home: Home) -> None:
    images = {f"{index:03d}": texture(5000 + index) for index in range(300)}
    assert without_copies(home, images).copies.is_empty()


def test_an_image_that_is_removed_has_one_that_stays_nearby(home: Home) -> None:
    """Of a chain a - b - c, where only neighbours are near, c stays."""
    base = np.random.default_rng(0).integers(0, 2, 256)
    chain = np.stack([np.where(np.arange(256) < 20 * step, 1 - base, base) for step in range(3)])
    words = np.packbits(chain, axis=1).view(">i8").astype(np.int64)
    rows = embedded({name: texture(index) for index, name in enumerate("abc")})
    rows = rows.with_columns(pl.Series(name, words[:, at]) for at, name in enumerate(HASH_WORDS))
    unique = drop_duplicates(rows, context(home, TEXTURED))
    assert unique.rows["key"].to_list() == ["a", "c"]
    assert unique.copies.select("key", "kept", "distance").rows() == [("b", "a", 20)]


def test_images_too_small_for_the_hash_are_never_near_copies(home: Home) -> None:
    small = [texture(2000).resize((31, 31)), noisy(texture(2000)).resize((31, 31))]
    assert without_copies(home, dict(zip("ab", small, strict=True))).rows.height == 2


def test_equal_images_are_compared_once_and_another_distance_anew(home: Home) -> None:
    images = {"a": texture(5001), "b": recompressed(texture(5001))}
    for _ in range(2):
        assert without_copies(home, images).rows["key"].to_list() == ["a"]
    assert len(list(home.data.glob("dedup-*"))) == 1
    assert without_copies(home, images, max_distance=0).rows.height == 2


def test_another_task_of_the_same_name_has_its_own_references(home: Home, tmp_path: Path) -> None:
    for folder, start in (("one", 0), ("two", 50)):
        for split in ("train", "val", "test"):
            for label, name in enumerate("ab"):
                target = tmp_path / folder / "birds" / split / name
                target.mkdir(parents=True)
                texture(start + label + 10 * len(split)).save(target / "0.png")
    tasks = [find_task(str(tmp_path / folder / "birds")) for folder in ("one", "two")]
    assert tasks[0].name == tasks[1].name
    assert tasks[0].fingerprint != tasks[1].fingerprint
    leaked = [
        without_copies(home, {"x": task.split("val", home).read(0)}, tasks[1]).rows.is_empty()
        for task in tasks
    ]
    assert leaked == [False, True]


def test_every_framing_has_a_name_and_a_hash_of_its_own() -> None:
    names, hashes = framings(texture(0))
    assert names[0] == "as it is"
    assert len(names) == len(set(names)) == len(np.unique(hashes, axis=0)) == 25**2 + 10 * 5


def test_a_soft_edge_is_cropped_equally_alone_lest_other_edges_pass_for_it() -> None:
    edge = np.linspace(0, 255, 200).astype(np.uint8)[None].repeat(150, axis=0)
    names = framings(Image.fromarray(edge))[0]
    assert names[0] == "as it is"
    assert not any("turned" in name for name in names)
    assert len(names) <= 2 * 5


def test_copies_of_train_images_stay_and_are_counted_unless_an_option_drops_them(
    home: Home,
) -> None:
    images = {"a-train": noisy(texture(1)), "b": texture(5000), "c-val": texture(1002)}
    kept, dropped = (without_copies(home, images, drop_train=drop) for drop in (False, True))
    assert kept.rows["key"].to_list() == ["a-train", "b"]
    assert dropped.rows["key"].to_list() == ["b"]
    for unique, removed in ((kept, False), (dropped, True)):
        assert unique.counts["copies of train images"] == 1
        assert unique.copies.select("key", "removed", "split", "image").rows() == [
            ("a-train", removed, "train", "train-1"),
            ("c-val", True, "val", "val-2"),
        ]
