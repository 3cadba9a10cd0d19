"""Real training images, and no images at all."""

from collections import Counter
from pathlib import Path

from bench.core.paths import Home
from bench.plugins import source_of
from bench.tasks import find_task
from tests.support.contexts import context, image_of
from tests.support.tiny_clip import square

MINI = find_task("mini-aircraft")


def test_real_images_are_the_training_split(home: Home) -> None:
    images = source_of("real", {"images": {"size": 32, "suffix": ".png"}}).collect(
        context(home, MINI)
    )
    split = MINI.split("train", home)
    assert len(images) == len(split)
    shown = Counter((int(label), split.read(i).tobytes()) for i, label in enumerate(split.labels))
    rows = images.index().iter_rows(named=True)
    assert Counter((row["label"], image_of(home, row).tobytes()) for row in rows) == shown


def test_real_images_may_have_long_and_strange_names(home: Home, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / "t" / split / name / "sub").mkdir(parents=True)
            for file in ("x" * 200, "sub/é 漢.v2", "sub-é 漢.v2"):
                square(1, len(file)).save(tmp_path / "t" / split / name / f"{file}.png")
    task = find_task(str(tmp_path / "t"))
    images = source_of("real", {"images": {"suffix": ".png"}}).collect(context(home, task))
    assert images.manifest.counts == {"a": 3, "b": 3}
    assert images.index()["key"].n_unique() == 6


def test_no_images_are_an_empty_set(home: Home) -> None:
    images = source_of("none", {}).collect(context(home, MINI, 0))
    assert len(images) == images.index().height == 0
