"""Folders laid out as ADE20K's, whole and damaged."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError, RequestError
from bench.tasks import find_task
from eval.dense.masked import check_folder, files, of_folder
from tests.support.scenes import write_scenes


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "ade", training=20, validation=4)


def test_parts_are_apart_and_images_have_their_masks(ade: Path) -> None:
    train, val, test = (of_folder(ade, split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (18, 2, 4)
    assert not set(train.keys) & set(val.keys)
    assert all(key.startswith("validation/") for key in test.keys)
    assert len(train.classes) == 150
    for index in range(len(train)):
        mask, image = train.mask(index), np.asarray(train.read(index))
        assert mask.shape == image.shape[:2]
        # Scenes are as bright as their labels say.
        assert not (mask == 2).any() or abs(image[mask == 2].mean() - 200) < 30


def test_which_images_are_held_out_does_not_depend_on_others(ade: Path) -> None:
    val = set(of_folder(ade, "val").keys)
    assert val == set(of_folder(ade, "val").keys)
    kept = sorted(val)[0].removeprefix("training/")
    for kind in ("images", "annotations"):
        for path in (ade / kind / "training").iterdir():
            if path.stem != kept and f"training/{path.stem}" in val:
                path.unlink()
    assert f"training/{kept}" in of_folder(ade, "val").keys


def test_an_image_without_a_mask_and_a_mask_without_an_image_are_named(ade: Path) -> None:
    (ade / "annotations/training/00003.png").unlink()
    with pytest.raises(RequestError, match=r"images/training/00003.jpg has no mask"):
        check_folder(ade)
    (ade / "images/training/00003.jpg").unlink()
    (ade / "images/validation/00001.jpg").unlink()
    with pytest.raises(RequestError, match=r"annotations/validation/00001.png has no image"):
        check_folder(ade)


def test_a_folder_of_another_layout_or_of_too_few_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="images/ and annotations/"):
        check_folder(tmp_path)
    few = write_scenes(tmp_path / "few", training=9, validation=1)
    with pytest.raises(RequestError, match="9 training images are too few"):
        check_folder(few)


@pytest.mark.parametrize(("split", "part"), [("training", "train"), ("validation", "test")])
def test_a_part_of_which_no_pixel_counts_is_refused(ade: Path, split: str, part: str) -> None:
    masks = sorted((ade / "annotations" / split).iterdir())
    for mask in masks:
        Image.new("L", Image.open(mask).size).save(mask)
    with pytest.raises(RequestError, match=rf"no mask of the \d+ {part} images, such as {split}/"):
        check_folder(ade)
    for mask in masks:
        Image.new("L", Image.open(mask).size, 1).save(mask)
    check_folder(ade)


def four_bits(mask: Path) -> None:
    """Write it as a PNG of grey has it that says each pixel in four bits, which Pillow cannot."""
    labels = np.array(Image.open(mask)) % 16
    wide = np.pad(labels, ((0, 0), (0, labels.shape[1] % 2)))
    lines = (b"\0" + row.tobytes() for row in wide[:, ::2] << 4 | wide[:, 1::2])
    height, width = labels.shape
    chunks = {
        b"IHDR": struct.pack(">2I5B", width, height, 4, 0, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(lines)),
        b"IEND": b"",
    }
    mask.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks.items()
        )
    )


def turned(mask: Path) -> None:
    image = Path(str(mask).replace("annotations", "images")).with_suffix(".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(image).save(image, exif=exif)


def sideways(mask: Path) -> None:
    Image.open(mask).transpose(Image.Transpose.ROTATE_90).save(mask)


SPOIL: dict[str, Callable[[Path], object]] = {
    "label 151": lambda mask: Image.new("L", Image.open(mask).size, 151).save(mask),
    "has 40 by 48 pixels, its image 48 by 40": sideways,
    "are RGB": lambda mask: Image.new("RGB", Image.open(mask).size).save(mask),
    "not a byte each": lambda mask: Image.new("I;16", Image.open(mask).size, 300).save(mask),
    "L;4, not a byte each": four_bits,
    "truncated": lambda mask: mask.write_bytes(mask.read_bytes()[:60]),
    "cannot identify": lambda mask: mask.write_text("<html>"),
    "70000 by 1000 pixels": lambda mask: Image.new("L", (70_000, 1_000)).save(mask),
    "turned by its EXIF": turned,
}


@pytest.mark.parametrize("said", SPOIL)
def test_a_mask_that_cannot_be_right_is_named(ade: Path, said: str) -> None:
    SPOIL[said](ade / "annotations/validation/00000.png")
    with pytest.raises(BenchError, match=said) as refused:
        of_folder(ade, "test").mask(0)
    assert "validation/00000" in str(refused.value)


def test_every_image_and_mask_is_fingerprinted(ade: Path) -> None:
    names = [name for name, _ in files(ade)]
    assert len(names) == len(set(names)) == 48
    assert {"images/training/00000", "annotations/validation/00003"} <= set(names)


def test_a_miniature_image_has_its_class_and_the_background(tmp_path: Path) -> None:
    from bench.core.paths import Home

    task = find_task("mini-cars")
    split = task.split("val", Home(tmp_path))
    assert task.masked
    assert split.mask is not None
    for row in (0, len(split) // 2, len(split) - 1):
        mask = split.mask(row)
        assert mask.shape == (32, 32)
        assert set(np.unique(mask)) == {int(split.labels[row]) + 1, 9}
