"""Tasks as torchvision lays them out on disk, in the official archives' own files."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.json_values import Json
from bench.core.task import SPLITS, Split
from bench.tasks.readers.damage import damage
from bench.tasks.readers.image_files import read_image_file, require_images
from bench.tasks.readers.origin import FaultError, Listing, Origin

_UNREADABLE = (LookupError, TypeError, ValueError, NameError, ArithmeticError, MemoryError)
"""What torchvision raises for a label without a class or a list without labels, and SciPy, besides
`MatReadError`, for a MAT-file that is damaged within (`NameError` is a fault of its own)."""


class TorchvisionOrigin(Origin, frozen=True, kw_only=True, tag="torchvision", omit_defaults=True):
    """A data set that torchvision knows. Paths are below the task's folder."""

    dataset: str
    """The torchvision class."""
    images: str
    """The folder with the images; a key is an image's path below it."""
    splits: dict[str, Json] = {}
    """The task's split to the arguments of the class that give it; by default all three, each as
    ``split=NAME``."""
    lists: dict[str, str] = {}
    """The file that lists a split; none where folders do."""
    names: str = ""
    """The file of the class names; none if torchvision has them in its code or takes folders'."""
    files: dict[str, str] = {}
    """MD5 of files that were published with one, checked whenever a split is opened."""

    @property
    def label(self) -> str:
        """Return the class."""
        return f"torchvision:{self.dataset}"

    @property
    def split_names(self) -> tuple[str, ...]:
        """Return the splits that the class has."""
        return tuple(self.splits) or SPLITS

    def arguments(self, split: str) -> Json:
        """Return the arguments of the class that give a split."""
        return self.splits.get(split, {"split": split})

    def is_there(self, folder: Path) -> bool:
        """Return whether the archive's folder is there."""
        return (folder / Path(self.images).parts[0]).is_dir()

    def read(self, split: str, folder: Path) -> Listing:
        """Return one split through torchvision; raises as `Origin.read` does."""
        self._check_files(split, folder)
        dataset = self._open(split, folder)
        root = folder / self.images
        files, labels = _samples(dataset)
        keys = [Path(file).relative_to(root).as_posix() for file in files]
        paths = [root / key for key in keys]
        read = partial(read_image_file, paths)
        names = [_text(name) for name in _names(dataset)]
        source, fix = str(folder / self.names), ""
        if not self.names:
            source = f"torchvision.datasets.{self.dataset}"
            fix = "install the torchvision of constraints.txt"
        return Listing(
            names, keys, np.array(labels, np.int64), read, source, fix, files=paths
        )  # fmt: skip

    def listed_in(self, split: str, folder: Path) -> Path:
        """Return the file, or the folder of the images where folders say it."""
        return folder / self.lists.get(split, self.images)

    def check_images(self, split: Split, folder: Path) -> None:
        """Make sure that every image of a split is on disk; raises as `Origin.check_images`."""
        require_images(split, folder / self.images)

    def _open(self, split: str, folder: Path) -> Any:  # noqa: ANN401 (torchvision's)
        import torchvision
        from scipy.io.matlab import MatReadError

        try:
            kind = getattr(torchvision.datasets, self.dataset)
            return kind(str(folder), **self.arguments(split))
        except OSError as error:
            what = f"cannot read {error.filename or folder}: {error.strerror or error}"
            raise FaultError(what) from error
        except RuntimeError as error:
            raise FaultError(f"the data in {folder} is not whole", absent=True) from error
        except (*_UNREADABLE, MatReadError) as error:
            what = f"cannot read {self.listed_in(split, folder)}: {error or type(error).__name__}"
            raise FaultError(what) from error

    def _check_files(self, split: str, folder: Path) -> None:
        """Make sure that the files that a split is read from are there and no other thing."""
        needed = (self.names, self.lists.get(split, ""), *self.files)
        for file in filter(None, needed):
            path = folder / file
            if not path.exists():
                raise FaultError(f"{path} is not there", absent=True)
            if what := damage(path):
                raise FaultError(f"{path} {what}")
            if file in self.files and (found := _md5(path)) != self.files[file]:
                raise FaultError(
                    f"{path} is not the published file: MD5 {found}, expected {self.files[file]}"
                )


def _samples(dataset: Any) -> tuple[list[Any], list[int]]:  # noqa: ANN401 (torchvision's)
    """Return the image files and the labels; its classes keep them under five names."""
    for pairs in ("_samples", "samples"):
        if hasattr(dataset, pairs):
            samples = getattr(dataset, pairs)
            return [file for file, _ in samples], [label for _, label in samples]
    for files in ("_image_files", "_images"):
        if hasattr(dataset, files):
            return list(getattr(dataset, files)), list(dataset._labels)
    # Caltech101 numbers the images of a class from one.
    root = Path(dataset.root) / "101_ObjectCategories"
    places = zip(dataset.y, dataset.index, strict=True)
    return [
        root / dataset.categories[label] / f"image_{index:04d}.jpg" for label, index in places
    ], list(dataset.y)


def _names(dataset: Any) -> list[Any]:  # noqa: ANN401 (torchvision's)
    return list(getattr(dataset, "classes", None) or dataset.categories)


def _text(name: str | tuple[str, ...]) -> str:
    """Return a class's name; ImageNet has several for each, the first is the common one."""
    return name if isinstance(name, str) else name[0]


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
