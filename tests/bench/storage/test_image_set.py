"""Image sets: what was written is what is read, in any order, or there is a clear error."""

import hashlib
import json
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.core.errors import BenchError, RequestError
from bench.storage.image_codec import encode
from bench.storage.image_set import ImageSet, read_image
from bench.storage.stage import Stage
from bench.storage.tar_shards import INDEX_SCHEMA, ShardWriter, members, read_bytes
from tests.support.tiny_clip import colour_task, write_colours

TASK = colour_task()


def image_set(data: Path, counts: tuple[int, ...] = (5, 5, 5), prefix: str = "k") -> ImageSet:
    """Write an index whose images are never opened."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    columns = {
        "key": [f"{prefix}{index}" for index in range(len(labels))],
        "label": labels,
        "class_name": [TASK.class_names[label] for label in labels],
        "sha256": [hashlib.sha256(f"{index}".encode()).hexdigest() for index in range(len(labels))],
    }
    empty = pl.DataFrame(schema=INDEX_SCHEMA)
    rows = pl.concat([empty, pl.DataFrame(columns)], how="diagonal_relaxed")
    return ImageSet.write(data, rows, TASK, "made", {}, {})


def keys(images: ImageSet, n: int | None, seed: int = 0, order: str = "random") -> list[str]:
    return images.select(n, seed, order)["key"].to_list()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        # Around the tar's block size of 512 bytes, where offsets go wrong.
        st.one_of(st.binary(max_size=40), st.sampled_from([511, 512, 513, 1024, 5000]).map(bytes)),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_any_image_is_read_back_in_any_order(contents: list[bytes], rng) -> None:  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.tar"
        with ShardWriter(path) as writer:
            places = [writer.add(f"{i:05d}", content, ".png") for i, content in enumerate(contents)]
        order = list(range(len(contents)))
        rng.shuffle(order)
        for index in order:
            place = places[index]
            assert read_bytes(path, place["offset"], place["size"]) == contents[index]
            assert place["sha256"] == hashlib.sha256(contents[index]).hexdigest()
        # Any other program reads the same out of the tar.
        with tarfile.open(path) as tar:
            unpacked = [stream.read() for member in tar if (stream := tar.extractfile(member))]
        assert unpacked == contents
        assert [(offset, size) for _, offset, size in members(path)] == [
            (place["offset"], place["size"]) for place in places
        ]


def test_an_image_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    images = write_colours(tmp_path, 9, TASK)
    again = ImageSet.open(images.folder, tmp_path)
    assert again.manifest == images.manifest
    assert len(again) == 9
    manifest = json.loads((images.folder / "manifest.json").read_text())
    assert manifest["counts"] == again.manifest.counts == {"red": 3, "green": 3, "blue": 3}
    assert manifest["task"].startswith("colours@1-")
    for row in again.select(None, 3, "random").iter_rows(named=True):
        image = read_image(tmp_path, row["shard"], row["offset"], row["size"], row["sha256"])
        assert (image.mode, np.asarray(image).mean((0, 1)).argmax()) == ("RGB", row["label"])


def test_the_same_images_are_the_same_set(tmp_path: Path) -> None:
    images = write_colours(tmp_path, 9, TASK)
    assert write_colours(tmp_path, 9, TASK).folder == images.folder
    assert write_colours(tmp_path, 10, TASK).manifest.content != images.manifest.content


def test_a_set_whose_images_moved_is_read_in_the_new_place(tmp_path: Path) -> None:
    images = write_colours(tmp_path, 3, TASK)
    tar = tmp_path / "00000.tar"
    tar.rename(tmp_path / "moved.tar")
    rows = images.index().with_columns(shard=pl.lit("moved.tar"))
    moved = ImageSet.write(tmp_path, rows, TASK, "colours", {}, {})
    assert moved.folder == images.folder
    assert set(ImageSet.open(images.folder, tmp_path).index()["shard"]) == {"moved.tar"}


def test_a_set_from_before_copies_and_pairs_has_none_of_them(tmp_path: Path) -> None:
    images = image_set(tmp_path)
    path = images.folder / "index.parquet"
    pl.read_parquet(path).drop("copy", "pair").write_parquet(path)
    rows = ImageSet.open(images.folder, tmp_path).select(None, 0, "random")
    assert rows.schema == INDEX_SCHEMA
    assert rows["copy"].null_count() == rows["pair"].null_count() == rows.height
    assert keys(images, 7) == keys(image_set(tmp_path / "new"), 7)
    # Collected again, it is the same set, with what is known by now.
    known = rows.with_columns(copy=pl.lit(1), pair=pl.lit("the {}"))
    assert ImageSet.write(tmp_path, known, TASK, "made", {}, {}).folder == images.folder
    assert set(images.index()["pair"]) == {"the {}"}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(0, 5),
    st.sampled_from(["random", "balanced"]),
)
def test_subsets_of_one_seed_are_nested(n: int, more: int, seed: int, order: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = image_set(Path(folder), (30, 40, 10))
        few, many = keys(images, n, seed, order), keys(images, n + more, seed, order)
    assert len(few) == len(set(few)) == n
    assert many[:n] == few


def test_a_subset_depends_on_the_seed_and_not_on_how_the_images_were_found(tmp_path: Path) -> None:
    images = image_set(tmp_path, (30, 40, 10))
    shuffled = images.index().sample(80, shuffle=True, seed=1)
    turned = ImageSet.write(tmp_path / "b", shuffled, TASK, "made", {}, {})
    assert keys(turned, 20) == keys(images, 20)
    assert turned.manifest.content == images.manifest.content
    assert len({tuple(sorted(keys(images, 20, seed))) for seed in range(5)}) == 5


def test_random_order_takes_every_image_equally_often(tmp_path: Path) -> None:
    images = image_set(tmp_path, (10, 10, 0))
    counts = Counter(key for seed in range(100) for key in keys(images, 5, seed))
    # 25 expected; the binomial's standard deviation is 4.3.
    assert len(counts) == 20
    assert 10 < min(counts.values()) <= max(counts.values()) < 40


def test_in_balanced_order_the_classes_take_turns(tmp_path: Path) -> None:
    images = image_set(tmp_path, (30, 2, 10))
    labels = images.select(None, 0, "balanced")["label"].to_list()
    assert sorted(labels[:3]) == sorted(labels[3:6]) == [0, 1, 2]
    assert [sorted(labels[start : start + 2]) for start in range(6, 22, 2)] == [[0, 2]] * 8
    assert labels[22:] == [0] * 20


@pytest.mark.parametrize("order", ["random", "balanced"])
def test_asking_for_more_than_there_is_says_how_many_there_are(tmp_path: Path, order: str) -> None:
    images = image_set(tmp_path, (3, 3, 1))
    why = r"8 images asked for.*has 7.*--n 7 or fewer, or --n all"
    with pytest.raises(RequestError, match=why):
        images.select(8, 0, order)
    assert len(keys(images, None, order=order)) == 7
    with pytest.raises(RequestError, match="has 0"):
        image_set(tmp_path / "empty", (0, 0, 0)).select(None, 0, order)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"{", b"\xff"])
def test_a_missing_or_damaged_manifest_is_a_clear_error(
    tmp_path: Path, content: bytes | None
) -> None:
    images = image_set(tmp_path)
    path = images.folder / "manifest.json"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(BenchError, match=r"no readable manifest; delete it and run again"):
        ImageSet.open(images.folder, tmp_path)
    path.unlink(missing_ok=True)
    assert image_set(tmp_path).index().height == 15


@pytest.mark.parametrize("damage", ["gone", "cut", "relabelled", "a row less", "other columns"])
def test_a_tampered_index_is_noticed(tmp_path: Path, damage: str) -> None:
    images = image_set(tmp_path)
    path = images.folder / "index.parquet"
    rows = pl.read_parquet(path)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        changed = {
            "relabelled": rows.with_columns(label=(pl.col("label") + 1) % 3),
            "a row less": rows[1:],
            "other columns": rows.drop("label"),
        }
        changed[damage].write_parquet(path)
    with pytest.raises(BenchError, match=r"corrupt.*delete that folder and run again") as caught:
        images.index()
    # Never advise to delete more than is broken.
    assert f"the image set {images.folder} " in caught.value.what


def stage_with_images(data: Path) -> tuple[Stage, Path, str, list[tuple[int, int, str]]]:
    """Return a stage of one shard, its tar, the shard's name and the images' places in it."""
    stage, places = Stage(data, "download", {}), []

    def make(_: int, folder: Path) -> None:
        with ShardWriter(folder / "images.tar") as writer:
            for value in (10, 200):
                content = encode(Image.new("RGB", (8, 8), (value, 0, 0)), ".png")
                place = writer.add(f"{value}", content, ".png")
                places.append((place["offset"], place["size"], place["sha256"]))

    stage.run(1, make)
    return stage, stage.shard(0) / "images.tar", f"{stage.key}/00000/images.tar", places


def test_a_changed_image_is_noticed_and_only_its_stage_is_to_be_deleted(tmp_path: Path) -> None:
    stage, path, shard, places = stage_with_images(tmp_path)
    assert read_image(tmp_path, shard, *places[1]).getpixel((0, 0)) == (200, 0, 0)
    content = bytearray(path.read_bytes())
    content[places[1][0] + 30] ^= 1
    path.write_bytes(content)
    assert read_image(tmp_path, shard, *places[0]).getpixel((0, 0)) == (10, 0, 0)
    with pytest.raises(BenchError, match="not the one that was indexed") as caught:
        read_image(tmp_path, shard, *places[1])
    assert caught.value.fix.startswith(f"delete {stage.folder} and run again")
    # Swapped images are noticed too, though both are whole.
    offset, size, digest = places[0]
    with pytest.raises(BenchError, match="corrupt"):
        read_image(tmp_path, shard, offset, size, places[1][2])
    assert digest != places[1][2]


def test_a_truncated_or_missing_shard_is_a_clear_error(tmp_path: Path) -> None:
    _, path, shard, places = stage_with_images(tmp_path)
    path.write_bytes(path.read_bytes()[: places[1][0] + 20])
    with pytest.raises(BenchError, match="truncated"):
        read_image(tmp_path, shard, *places[1])
    with pytest.raises(BenchError, match="corrupt"):
        list(members(path))
    path.unlink()
    with pytest.raises(BenchError, match="corrupt"):
        read_image(tmp_path, shard, *places[0])
    mine = tmp_path / "mine.tar"
    mine.write_bytes(b"no tar" * 1000)
    with pytest.raises(BenchError, match=r"mine\.tar is corrupt.*put a whole copy in its place"):
        list(members(mine))
