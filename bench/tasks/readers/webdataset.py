"""Tasks in webdataset tars as CLIP-benchmark lays them out: ``SPLIT/0.tar`` and ``classnames.txt``.

Of every image a member ``KEY.cls`` has the class's number, a line of ``classnames.txt``. Nothing is
unpacked: an image is read at its offset.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from bench.core.errors import BenchError, RequestError
from bench.core.names import composed
from bench.storage.image_codec import decode
from bench.storage.labelled_tars import labelled_images
from bench.storage.tar_shards import read_bytes
from bench.tasks.readers.damage import damage
from bench.tasks.readers.hub_origin import HubOrigin
from bench.tasks.readers.origin import FaultError, Listing

CLASS_NAMES, TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"
_SHARDS = "nshards.txt"
"""Files of CLIP-benchmark's layout (LAION-AI/CLIP_benchmark, datasets/builder.py)."""


class WebdatasetOrigin(HubOrigin, frozen=True, kw_only=True, tag="webdataset", omit_defaults=True):
    """A data set in tars; by default as the organisation clip-benchmark has it on the Hub."""

    def read(self, split: str, folder: Path) -> Listing:
        """Return one split; raises as `Origin.read` does."""
        root = self.root(folder)
        tars = self.files(split, folder)
        _check_number(tars)
        classes = ListedClasses(tuple(lines_of(root / CLASS_NAMES)))
        images, of = [], []
        for at, tar in enumerate(tars):
            try:
                found = labelled_images(tar, classes)
            except BenchError as error:
                raise FaultError(error.what) from error
            images += found
            of += [at] * len(found)
        places = np.array([(image.offset, image.size) for image in images], np.int64).reshape(-1, 2)
        names = [tar.relative_to(root).with_suffix("").as_posix() for tar in tars]
        keys = [f"{names[at]}/{image.name}" for at, image in zip(of, images, strict=True)]
        numbers = np.array([image.label for image in images], np.int64)
        read = TarImages(tars, np.array(of, np.int64), places).read
        where = str(root / CLASS_NAMES)
        return Listing(classes.class_names, keys, numbers, read, where, files=tars)


@dataclass(frozen=True)
class ListedClasses:
    """Classes by name, as a list of a vendor has them."""

    class_names: tuple[str, ...]

    def label(self, class_name: str) -> int | None:
        """Return the number of a class; None if there is none of the name."""
        return self._numbers.get(composed(class_name))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {composed(name): at for at, name in enumerate(self.class_names)}


@dataclass(frozen=True)
class TarImages:
    """Images at their places in tars.

    Attributes:
        tars: The files.
        files: The file of each image, int64 ``[n]``: an index into `tars`.
        places: Offset and size of each, int64 ``[n, 2]``.
    """

    tars: list[Path]
    files: NDArray[np.int64]
    places: NDArray[np.int64]

    def read(self, index: int) -> Image:
        """Return an image, decoded as every source's.

        Raises:
            RequestError: If it cannot be read or is no image; it names the tar.
        """
        tar = self.tars[int(self.files[index])]
        offset, size = map(int, self.places[index])
        try:
            return decode(read_bytes(tar, offset, size))
        except ValueError as error:
            raise RequestError(f"{tar}, byte {offset:,}: {error}", "replace the tar") from error


def lines_of(file: Path) -> list[str]:
    """Return the lines of a text list, without empty ones at its end.

    Raises:
        FaultError: If it is not there, not text, or has an empty line.
    """
    if not file.is_file():
        raise FaultError(f"{file} is not there", absent=True)
    if what := damage(file):
        raise FaultError(f"{file} {what}")
    lines = [line.strip() for line in file.read_text(encoding="utf-8").rstrip().split("\n")]
    if "" in lines:
        raise FaultError(f"{file}: line {lines.index('') + 1} is empty")
    return lines


def _check_number(tars: list[Path]) -> None:
    """Make sure that a split has as many tars as the file beside them says."""
    file = tars[0].parent / _SHARDS
    if not file.is_file():
        return
    (said, *_) = lines_of(file)
    if not said.isdecimal() or int(said) != len(tars):
        raise FaultError(
            f"{file.parent} has {len(tars)} tars, where {file.name} says {said[:20]}", absent=True
        )
