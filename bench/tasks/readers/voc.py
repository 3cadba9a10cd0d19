"""Tasks in the layout of PASCAL VOC's image classification: which classes an image shows."""

from functools import partial
from pathlib import Path

import numpy as np

from bench.core.task import SPLITS, Split
from bench.tasks.readers.damage import damage
from bench.tasks.readers.image_files import read_image_file, require_images
from bench.tasks.readers.origin import FaultError, Listing, Origin

_SHOWN, _DIFFICULT, _ABSENT = "1", "0", "-1"
"""The marks of ``ImageSets/Main/CLASS_SPLIT.txt``: VOC2007's development kit, section 4.1."""


class VocOrigin(Origin, frozen=True, kw_only=True, tag="voc", omit_defaults=True):
    """VOC's own folders. An object that is marked difficult counts as shown."""

    numbered = False

    folder: str
    """The folder with ``ImageSets`` and ``JPEGImages``, below the task's."""

    @property
    def label(self) -> str:
        """Return the folder."""
        return f"voc:{self.folder}"

    @property
    def split_names(self) -> tuple[str, ...]:
        """Return the splits, which are the task's."""
        return SPLITS

    def is_there(self, folder: Path) -> bool:
        """Return whether the folder is there."""
        return (folder / self.folder).is_dir()

    def listed_in(self, split: str, folder: Path) -> Path:
        """Return the list of a split's images."""
        return folder / self.folder / f"ImageSets/Main/{split}.txt"

    def read(self, split: str, folder: Path) -> Listing:
        """Return one split; raises as `Origin.read` does."""
        path = self.listed_in(split, folder)
        stems = [line.split()[0] for line in _lines(path)]
        names = _classes(path.parent, split)
        columns = [_shown(path.with_name(f"{name}_{split}.txt"), stems) for name in names]
        targets = np.array(columns, np.bool_).reshape(len(names), len(stems)).T
        root = folder / self.folder / "JPEGImages"
        keys = [f"{stem}.jpg" for stem in stems]
        files = [root / key for key in keys]
        read = partial(read_image_file, files)
        return Listing(
            names, keys, targets.argmax(axis=1), read, str(path.parent), targets=targets,
            files=files,
        )  # fmt: skip

    def check_images(self, split: Split, folder: Path) -> None:
        """Make sure that every image of a split is on disk; raises as `Origin.check_images`."""
        require_images(split, folder / self.folder / "JPEGImages")


def _classes(folder: Path, split: str) -> list[str]:
    """Return the classes that have a list of a split."""
    ending = f"_{split}.txt"
    return sorted(file.name.removesuffix(ending) for file in folder.glob(f"*{ending}"))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FaultError(f"{path} is not there", absent=True)
    if what := damage(path):
        raise FaultError(f"{path} {what}")
    return [line for line in path.read_text("utf-8").splitlines() if line.strip()]


def _shown(path: Path, stems: list[str]) -> list[bool]:
    """Return which images of a split show a class."""
    words = [line.split() for line in _lines(path)]
    if [pair[0] for pair in words] != stems:
        raise FaultError(f"{path} lists other images than its split, or in another order")
    marks = [pair[-1] for pair in words]
    if strange := sorted(set(marks) - {_SHOWN, _DIFFICULT, _ABSENT}):
        raise FaultError(f"{path} has the mark {strange[0]!r}, expected 1, 0 or -1")
    return [mark != _ABSENT for mark in marks]
