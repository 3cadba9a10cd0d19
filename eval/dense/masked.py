"""Images with a class for every pixel: of a task that has masks, or of a folder like ADE20K's."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from bench.core.arrays import MaskArray
from bench.core.errors import BenchError, RequestError
from bench.core.files import read_file
from bench.core.memo import memo
from bench.core.task import Split
from bench.core.walk import Named, walk
from bench.storage.image_codec import MAX_PIXELS, MAX_SIDE, decode

ADE20K_CLASSES = 150
"""Of the scene parsing benchmark (Zhou 2017, section 4), whose masks have 0 for all else."""

HELD_OUT = 0.1
"""The share of a folder's training images that the learning rate is chosen on; ours."""

_MEND = "replace the file"


@dataclass(frozen=True)
class Masked:
    """Images and their masks; both are read one at a time.

    Attributes:
        keys: One unique name per image.
        read: Returns the image at an index, RGB.
        mask: Returns its mask, uint8 ``[h, w]``: 1 to `classes`, and 0 for pixels that do not
            count.
        classes: Their names.
    """

    keys: Sequence[str]
    read: Callable[[int], Image.Image]
    mask: Callable[[int], MaskArray]
    classes: Sequence[str]

    def __len__(self) -> int:
        return len(self.keys)


def of_task(split: Split, class_names: Sequence[str]) -> Masked:
    """Return a split whose task has masks; what is none of the task's classes is one itself.

    Raises:
        ValueError: If it has none.
    """
    if split.mask is None:
        raise ValueError(f"the split {split.name} has no masks")
    return Masked(split.keys, split.read, split.mask, [*class_names, "background"])


def of_folder(folder: Path, split: str) -> Masked:
    """Return a part of a data set laid out as ADE20K's scene parsing benchmark.

    ``train`` and ``val`` are parts of its training images, of which the tenth whose names have the
    smallest SHA-256 are val. ``test`` are its validation images: those of its test split have no
    published masks.

    Raises:
        RequestError: If an image lacks a mask or a mask its image, by their names, or a part is
            empty.
    """
    published = "validation" if split == "test" else "training"
    images, masks = _pairs(folder, published)
    held_out = set(sorted(images, key=_by_hash)[: int(len(images) * HELD_OUT)])
    wanted = {"train": set(images) - held_out, "val": held_out, "test": set(images)}[split]
    names = sorted(wanted)
    if not names:
        raise RequestError(
            f"{folder}: {len(images)} {published} images are too few", "give at least 10 of them"
        )

    def read(index: int) -> Image.Image:
        return _image(images[names[index]])

    def mask(index: int) -> MaskArray:
        return _mask(masks[names[index]], images[names[index]])

    classes = [str(label) for label in range(1, ADE20K_CLASSES + 1)]
    return Masked([f"{published}/{name}" for name in names], read, mask, classes)


def check_folder(folder: Path) -> None:
    """Make sure that a folder is laid out so, and that some pixel of each part counts.

    Masks are read until one has a label above 0: the first, as a rule.

    Raises:
        RequestError: As `of_folder`, or if all pixels of a part have label 0.
        BenchError: If one of the masks that are read does not fit its image.
    """
    for split in ("train", "val", "test"):
        images = of_folder(folder, split)
        if not any(images.mask(row).any() for row in range(len(images))):
            raise RequestError(
                f"{folder}: no mask of the {len(images)} {split} images, such as {images.keys[0]}, "
                "has a label above 0",
                "give masks of which some pixels count",
            )


def files(folder: Path) -> tuple[Named, ...]:
    """Return every image and mask of a data set by its name below the folder."""
    return tuple(
        (f"{kind}/{split}/{name}", path)
        for split in ("training", "validation")
        for kind, found in zip(("images", "annotations"), _pairs(folder, split), strict=True)
        for name, path in sorted(found.items())
    )


@memo
def _pairs(folder: Path, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the images and the masks of a published split by their names without suffix.

    Raises:
        RequestError: If one is without the other, or there are none.
    """
    images = _named(folder / "images" / split, ".jpg")
    masks = _named(folder / "annotations" / split, ".png")
    for here, there, kind in ((images, masks, "mask"), (masks, images, "image")):
        if alone := sorted(set(here) - set(there)):
            raise RequestError(
                f"{here[alone[0]]} has no {kind}"
                + (f", nor have {len(alone) - 1} others" if len(alone) > 1 else ""),
                f"give every image images/{split}/NAME.jpg its annotations/{split}/NAME.png",
            )
    return images, masks


def _named(folder: Path, suffix: str) -> dict[str, Path]:
    found = walk(folder, (suffix,)).files if folder.is_dir() else ()
    if not found:
        raise RequestError(
            f"there are no {suffix} files in {folder}",
            "give a folder with images/ and annotations/, each with training/ and validation/",
        )
    return {str(Path(name).with_suffix("")): path for name, path in found}


def _by_hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _image(path: Path) -> Image.Image:
    try:
        return decode(read_file(path))
    except ValueError as error:
        raise BenchError(f"{path}: {error}", _MEND) from error


def _mask(path: Path, image: Path) -> MaskArray:
    """Return a mask that fits its image.

    Raises:
        BenchError: If it is no PNG of one byte a pixel, is too large, has a label that is no
            class, or another size than its image, or the image is turned; the file is named.
    """
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            if opened.width * opened.height > MAX_PIXELS or max(opened.size) > MAX_SIDE:
                raise ValueError(f"it has {opened.width} by {opened.height} pixels")
            stored = str(opened.tile[0][3]) if opened.tile else "none"
            # Greys of four bits, L;4, would be stretched to a byte: of 1 would come the label 17.
            if opened.mode != "P" and stored != "L":
                raise ValueError(f"its pixels are {stored}, not a byte each")
            mask: MaskArray = np.array(opened)
        with Image.open(image, formats=["JPEG", "MPO"]) as opened:
            size, turned = opened.size, opened.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BenchError(f"the mask {path} cannot be used: {error}", _MEND) from error
    if turned:
        raise BenchError(f"the image {image} is turned by its EXIF, its mask is not", _MEND)
    if mask.shape != size[::-1]:
        raise BenchError(
            f"the mask {path} has {mask.shape[1]} by {mask.shape[0]} pixels, its image "
            f"{size[0]} by {size[1]}",
            _MEND,
        )
    if mask.max() > ADE20K_CLASSES:
        raise BenchError(
            f"the mask {path} has the label {mask.max()}; the last class is {ADE20K_CLASSES}", _MEND
        )
    return mask
