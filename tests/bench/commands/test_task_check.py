"""`bench task check`: what a user sees of a task before anything is computed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.paths import Home
from tests.conftest import Bench


def picture(seed: int) -> Image.Image:
    """Return a picture with structure at 16 frequencies each way; any two look different."""
    coarse = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Two classes of structured images, 8 in train, 6 in test and 5 in val, and no copies."""
    root = tmp_path / "birds"
    for place, (split, count) in enumerate((("train", 8), ("val", 5), ("test", 6))):
        for label, name in enumerate(("finch", "wren")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture(100 * place + 10 * index + label).save(folder / f"{index}.png")
    return root


def test_a_task_without_faults_is_counted(bench: Bench, home: Home, birds: Path) -> None:
    outcome = bench("task", "check", str(birds))
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "birds: 2 classes; train 16, val 10, test 12"
    assert lines[1] == "shortest sides: 120 to 120 pixels, median 120"
    assert [line.split() for line in lines[2:5]] == [
        ["train", "val", "test"], ["finch", "8", "5", "6"], ["wren", "8", "5", "6"]
    ]  # fmt: skip
    assert lines[5] == "nothing is doubtful"
    assert lines[6] == f"some of each class: {home.root / 'checks/birds.png'}"


def test_copies_across_splits_and_classes_are_named(bench: Bench, birds: Path) -> None:
    shutil.copy(birds / "train/finch/3.png", birds / "test/wren/equal.png")
    with Image.open(birds / "val/wren/2.png") as image:
        image.resize((140, 110)).save(birds / "test/wren/near.jpg", quality=80)
    report = bench("task", "check", str(birds), "--json").json
    assert [(copy["image"], copy["of"], copy["distance"] is None) for copy in report["copies"]] == [
        ("test/wren/equal.png", "train/finch/3.png", True),
        ("test/wren/near.jpg", "val/wren/2.png", False),
    ]
    assert report["copies"][0]["of_class"] == "finch"
    assert report["contradictions"] == [["train/finch/3.png", "test/wren/equal.png"]]
    assert report["warnings"] == [
        "images that equal one of an earlier split: 1 (test/wren/equal.png (train/finch/3.png))",
        "images that look like one of an earlier split: 1 (test/wren/near.jpg (val/wren/2.png))",
        "images in several classes: 1 (train/finch/3.png = test/wren/equal.png)",
    ]


def test_all_unreadable_images_are_said_at_once_with_code_2(bench: Bench, birds: Path) -> None:
    for index in range(4):
        (birds / f"train/wren/{index}.png").write_bytes(b"no image")
    outcome = bench("task", "check", str(birds))
    assert outcome.code == 2
    assert outcome.complaint == (
        "4 images of birds cannot be read; replace or remove them: a run needs all"
    )
    (line,) = [line for line in outcome.out.splitlines() if "cannot be read" in line]
    assert line.startswith("warning: images that cannot be read: 4 (")
    assert all(f"train/wren/{index}.png" in line for index in range(3))
    assert line.endswith(", …)")


def test_small_and_many_classes_are_shown_by_size(bench: Bench, birds: Path) -> None:
    for index in range(20):
        folder = birds / f"train/rare {index:02}"
        folder.mkdir()
        picture(1000 + index).save(folder / "0.png")
    outcome = bench("task", "check", str(birds))
    assert outcome.code == 0
    assert "classes with fewer than 5 images in train: 20 (rare 00, rare 01, rare 02, …)" in (
        outcome.out
    )
    assert "… 10 classes of a size between these …" in outcome.out
    assert "rare 06" not in outcome.out


def test_the_sheet_shows_images_of_each_class_and_split(
    bench: Bench, birds: Path, tmp_path: Path
) -> None:
    red = Image.new("RGB", (60, 60), "red")
    red.save(birds / "val/wren/0.png")
    sheet = tmp_path / "out/sheet.png"
    assert bench("task", "check", str(birds), "--sheet", str(sheet)).code == 0
    with Image.open(sheet) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == 96 * 96


def test_a_published_or_packaged_task_is_checked_by_its_name(bench: Bench) -> None:
    outcome = bench("task", "check", "mini-cars", "--json")
    assert outcome.code == 0
    assert outcome.json["splits"].keys() >= {"train", "val", "test"}
    missing = bench("task", "check", "aircraft")
    assert missing.code == 2
    assert "bench fetch --task aircraft" in missing.complaint


def test_what_cannot_be_a_task_is_one_line(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = bench("task", "check", str(tmp_path / "empty"))
    assert (outcome.code, outcome.out) == (2, "")
    assert "has 0 classes; a task needs two" in outcome.complaint
