"""Tasks in class folders, ``SPLIT/CLASS/IMAGE``, whatever the folders are called."""

from functools import partial
from pathlib import Path

import numpy as np

from bench.core.errors import RequestError
from bench.core.walk import walk
from bench.storage.class_folders import class_folders
from bench.storage.image_codec import IMAGE_SUFFIXES
from bench.tasks.readers.image_files import read_image_file
from bench.tasks.readers.origin import FaultError, Listing, Origin


class FoldersOrigin(Origin, frozen=True, kw_only=True, tag="folders", omit_defaults=True):
    """Images in class folders; the names of the folders are the vendor's class names."""

    numbered = False

    splits: dict[str, str]
    """The task's split to its folder below the task's."""

    @property
    def label(self) -> str:
        """Return the folder of the first split."""
        return f"folders:{next(iter(self.splits.values()))}"

    @property
    def split_names(self) -> tuple[str, ...]:
        """Return the splits that have a folder."""
        return tuple(self.splits)

    def is_there(self, folder: Path) -> bool:
        """Return whether one of the folders is there."""
        return any((folder / name).is_dir() for name in self.splits.values())

    def has_split(self, split: str, folder: Path) -> bool:
        """Return whether the folder of a split is there."""
        return (folder / self.splits[split]).is_dir()

    def listed_in(self, split: str, folder: Path) -> Path:
        """Return the folder of a split."""
        return folder / self.splits[split]

    def read(self, split: str, folder: Path) -> Listing:
        """Return one split; raises as `Origin.read` does."""
        root = self.listed_in(split, folder)
        if not root.is_dir():
            raise FaultError(f"{root} is not there", absent=True)
        try:
            images = class_folders(walk(root, IMAGE_SUFFIXES))
        except RequestError as error:
            raise FaultError(error.what) from error
        names = sorted({image.class_name for image in images})
        number = {name: at for at, name in enumerate(names)}
        numbers = np.array([number[image.class_name] for image in images], np.int64)
        files = [image.path for image in images]
        read = partial(read_image_file, files)
        keys = [image.name for image in images]
        return Listing(names, keys, numbers, read, str(root), files=files)
