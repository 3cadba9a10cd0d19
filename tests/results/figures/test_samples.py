"""The samples figure: pictures as they lie in image sets and in the train split."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.storage.image_codec import encode
from bench.storage.image_set import ImageSet
from bench.storage.tar_shards import ShardWriter
from bench.tasks import find_task
from tests.support.drawing import drawn
from tests.support.layout import problems, words
from tests.support.records import write_run

TASK = find_task("mini-aircraft")
CLASS = TASK.class_names[2]


def write_set(home: Home, source: str, label: int, colour: tuple[int, int, int]) -> None:
    """Leave a run on five images of one colour and one class."""
    home.data.mkdir(parents=True, exist_ok=True)
    rows = []
    with ShardWriter(home.data / f"{source}.tar") as shard:
        for index in range(5):
            image = Image.fromarray(np.full((32, 24, 3), (*colour[:2], index), np.uint8))
            key = f"{source}-{index}"
            about = {"key": key, "shard": f"{source}.tar", "label": label, "origin": source,
                     "class_name": TASK.class_names[label], "caption": None, "url": None,
                     "seed": None, "clip_score": None, "width": 24, "height": 32}  # fmt: skip
            rows.append(shard.add(key, encode(image, ".png"), ".png") | about)
    images = ImageSet.write(home.data, pl.DataFrame(rows), TASK, source, {}, {})
    write_run(home, source, 5, image_set=images.manifest.content)


def test_rows_are_real_generated_and_retrieved_images_of_one_class(home: Home) -> None:
    write_set(home, "retrieved", 2, (200, 0, 0))
    write_set(home, "synthetic", 2, (0, 200, 0))
    shown = drawn(home, "samples", images=3)
    pictures = [axes.get_images()[0].get_array() for axes in shown.figure.axes]
    assert len(pictures) == 9
    colours = [np.asarray(picture).reshape(-1, 3)[:, :2].mean(0).tolist() for picture in pictures]
    assert colours[3:6] == [[0, 200]] * 3
    assert colours[6:] == [[200, 0]] * 3
    split = TASK.split("train", home)
    first = int(np.flatnonzero(split.labels == 2)[0])
    assert (np.asarray(pictures[0]) == np.asarray(split.read(first))).all()
    assert words(shown.figure).split() == [CLASS, "real", "synthetic", "retrieved"]
    assert f"Images of the class {CLASS}: real, synthetic and retrieved" in shown.caption
    assert not problems(shown.figure)


def test_the_images_are_the_first_that_seed_0_takes(home: Home) -> None:
    write_set(home, "retrieved", 2, (200, 0, 0))
    pictures = [axes.get_images()[0].get_array() for axes in drawn(home, "samples").figure.axes]
    (manifest,) = home.data.glob("images-*/manifest.json")
    rows = ImageSet.open(manifest.parent, home.data).select(4, 0, "random")
    taken = [int(key.rpartition("-")[2]) for key in rows["key"]]
    assert [int(np.asarray(picture)[0, 0, 2]) for picture in pictures[4:]] == taken


def test_a_figure_is_the_same_twice(home: Home, tmp_path: Path) -> None:
    write_set(home, "retrieved", 2, (200, 0, 0))
    files = []
    for name in ("one", "two"):
        paths = drawn(home, "samples").save(tmp_path / name)
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]


def test_a_class_is_asked_for_by_name(home: Home) -> None:
    write_set(home, "retrieved", 2, (200, 0, 0))
    other = TASK.class_names[0]
    assert "retrieved" not in words(drawn(home, "samples", class_name=other).figure)
    with pytest.raises(RequestError, match=f"did you mean {CLASS}"):
        drawn(home, "samples", class_name=f"{CLASS}x")


def test_more_images_than_can_be_seen_are_refused(home: Home) -> None:
    write_set(home, "retrieved", 2, (200, 0, 0))
    with pytest.raises(RequestError, match="would be too small to see; give --images 13 at most"):
        drawn(home, "samples", images=40)
    assert not problems(drawn(home, "samples", images=13).figure)


def test_without_the_images_there_is_nothing_to_draw(home: Home) -> None:
    write_run(home, "retrieved", 5)
    with pytest.raises(RequestError, match="no image set of its runs is in this home"):
        drawn(home, "samples")
