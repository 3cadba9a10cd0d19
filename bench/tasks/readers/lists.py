"""Tasks whose splits are lists of image files: of a publisher, or of the authors of a paper.

A list is text, a file per line, or JSON as CoOp's authors publish it
(``{"train": [[FILE, NUMBER, CLASS], …], …}``; KaiyangZhou/CoOp, DATASETS.md).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec
import numpy as np

from bench.core.config import Config
from bench.core.task import Split
from bench.tasks.readers.damage import damage
from bench.tasks.readers.image_files import read_image_file, require_images
from bench.tasks.readers.origin import FaultError, Listing, Origin

_Row = tuple[str, int, str]
"""A file, its class's number, and its class."""


class ListedSplit(Config, frozen=True, kw_only=True, omit_defaults=True):
    """Where a split's files are listed. Paths are below the task's folder."""

    list: str
    """Text, of which a line's last word is a file, or its first where a number follows; or JSON of
    which the split's name is a key."""
    marks: str = ""
    """A file that marks every line of `list`, by its number: CUB's ``train_test_split.txt``."""
    mark: str = ""
    """The mark of this split's files."""


class ListOrigin(Origin, frozen=True, kw_only=True, tag="lists", omit_defaults=True):
    """Images in a folder, and the lists of their splits."""

    numbered = False

    images: str
    """The folder with the images; a key is an image's path below it."""
    splits: dict[str, ListedSplit]
    """The task's split to its list."""
    classes: Literal["folder", "listed"] = "folder"
    """Whether an image's class is the folder that it is in, or what JSON says."""

    @property
    def label(self) -> str:
        """Return the first list."""
        return f"lists:{next(iter(self.splits.values())).list}"

    @property
    def split_names(self) -> tuple[str, ...]:
        """Return the splits that are listed."""
        return tuple(self.splits)

    def is_there(self, folder: Path) -> bool:
        """Return whether the first list is there."""
        return (folder / next(iter(self.splits.values())).list).is_file()

    def listed_in(self, split: str, folder: Path) -> Path:
        """Return the list."""
        return folder / self.splits[split].list

    def read(self, split: str, folder: Path) -> Listing:
        """Return one split; raises as `Origin.read` does."""
        path, root = self.listed_in(split, folder), folder / self.images
        rows = self._rows(split, folder)
        keys = [_key(file, path) for file, _ in rows]
        vendors = [
            name or PurePosixPath(key).parent.as_posix()
            for key, (_, name) in zip(keys, rows, strict=True)
        ]
        names = sorted(set(vendors))
        number = {name: at for at, name in enumerate(names)}
        numbers = np.array([number[name] for name in vendors], np.int64)
        files = [root / key for key in keys]
        read = partial(read_image_file, files)
        return Listing(names, keys, numbers, read, str(path), files=files)

    def check_images(self, split: Split, folder: Path) -> None:
        """Make sure that every image of a split is on disk; raises as `Origin.check_images`."""
        require_images(split, folder / self.images)

    def _rows(self, split: str, folder: Path) -> list[tuple[str, str]]:
        """Return a split's files, each with its class if that is listed."""
        path = self.listed_in(split, folder)
        text = _text(path)
        if path.suffix == ".json":
            return [
                (file, name if self.classes == "listed" else "")
                for file, _, name in _json(text, split, path)
            ]
        files = [_file(line) for line in text.splitlines() if line.strip()]
        marks = self.splits[split].marks
        if not marks:
            return [(file, "") for file in files]
        marked = [line.split()[-1] for line in _text(folder / marks).splitlines() if line.strip()]
        if len(marked) != len(files):
            raise FaultError(
                f"{folder / marks} has {len(marked)} lines, expected {len(files)}, as {path} has"
            )
        wanted = self.splits[split].mark
        return [(file, "") for file, mark in zip(files, marked, strict=True) if mark == wanted]


def _text(path: Path) -> str:
    if not path.is_file():
        raise FaultError(f"{path} is not there", absent=True)
    if what := damage(path):
        raise FaultError(f"{path} {what}")
    return path.read_text("utf-8")


def _json(text: str, split: str, path: Path) -> Sequence[_Row]:
    try:
        splits = msgspec.json.decode(text, type=dict[str, list[_Row]])
    except msgspec.DecodeError as error:
        raise FaultError(
            f"{path} is not lists of [FILE, NUMBER, CLASS] by split: {error}"
        ) from error
    if split not in splits:
        raise FaultError(f"{path} has the splits {', '.join(sorted(splits))}, expected {split} too")
    return splits[split]


def _file(line: str) -> str:
    """Return the file of a line: ``FILE``, ``NUMBER FILE`` or ``FILE NUMBER``."""
    words = line.split()
    return words[0] if len(words) == 1 or words[-1].isdigit() else words[-1]


def _key(file: str, path: Path) -> str:
    """Return a listed file as a path below the images; one that leads out of them is refused."""
    key = file.lstrip("/")
    if not key or "\\" in key or ".." in PurePosixPath(key).parts:
        raise FaultError(f"{path} lists {file!r}, which is no file below the images")
    return key
