"""The three published benchmarks, read by torchvision from a local copy; downloads nothing."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from bench.core.config import parse_config
from bench.core.errors import RequestError
from bench.core.memo import memo
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import SPLITS, Split, Task
from bench.core.yaml_files import read_yaml
from bench.tasks._damage import damage
from bench.tasks._image_files import read_image_file

_UNREADABLE = (LookupError, TypeError, ValueError, NameError, ArithmeticError, MemoryError)
"""What torchvision raises for a label without a class or a list without labels, and SciPy, besides
`MatReadError`, for a MAT-file that is damaged within (`NameError` is a fault of its own)."""


class PublishedTask(Task, frozen=True, kw_only=True):
    """A benchmark that torchvision knows, kept below ``$BENCH_HOME/tasks/NAME``.

    The names, the lists and the images on disk must be the official ones, so that a label means the
    same class and a split the same images in every home. Paths are below that folder.
    """

    dataset: str
    """The torchvision class."""
    images: str
    """The folder with the images; a key is an image's path below it."""
    lists: dict[str, str]
    """The file that lists a split; a split without one is held out of train."""
    names: str = ""
    """The file of the class names; none if torchvision has them in its code."""
    files: dict[str, str] = {}
    """MD5 of files that were published with one, checked whenever a split is opened."""
    val_of_train: float = 0.0
    """Share of the train split held out as val, where the benchmark has none."""

    @classmethod
    def load(cls, name: str, dataset: str, val_of_train: float = 0.0) -> "PublishedTask":
        """Return a task, with the settings in the YAML file of its name."""
        values = read_yaml(Path(__file__).with_name(f"{name}.yaml"))
        extra = {"name": name, "dataset": dataset, "val_of_train": val_of_train}
        return parse_config(cls, {**values, **extra}, f"the task {name}")

    def folder(self, home: Home) -> Path:
        """Return the folder that the benchmark is kept in."""
        return home.tasks / self.name

    @memo
    def check(self, home: Home) -> None:
        """Make sure that the benchmark is there, whole and the official one."""
        for name in SPLITS:
            self._check_images(self.split(name, home), home)

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split through torchvision."""
        if not self.val_of_train or name == "test":
            return self._listed(name, home)
        return self._part(name, self._listed("train", home))

    def listed_in(self, name: str, home: Home) -> str:
        """Return the file that lists a split, as the end of a message."""
        return f" in {self._list(name, home)}"

    def how_to_get(self, home: Home) -> str:
        """Return how to get the data."""
        return f"fetch it with `bench fetch --task {self.name}`, or try --preset mini"

    def remedy(self, home: Home) -> str:
        """Return how to replace data that are not the official ones."""
        return f"remove {self.folder(home)} and run `bench fetch --task {self.name}`"

    def _part(self, name: str, whole: Split) -> Split:
        """Return train or val of a benchmark that has only train.

        The images whose names have the smallest SHA-256 are val, whatever their order in the file.
        That is ours: the paper does not say how the authors split, the authors' code has a seed.
        """
        order = sorted(range(len(whole)), key=lambda at: _sha256(whole.keys[at]))
        held_out = int(len(whole) * self.val_of_train)
        chosen = sorted(order[:held_out] if name == "val" else order[held_out:])
        keys = [whole.keys[at] for at in chosen]
        return Split(name, keys, whole.labels[chosen], partial(_pick, whole, chosen))

    def _listed(self, name: str, home: Home) -> Split:
        """Return one of the benchmark's own splits."""
        self._check_files(name, home)
        dataset = self._open(name, home)
        if tuple(dataset.classes) != self.class_names:
            raise self._other_names(home)
        samples = getattr(dataset, "_samples", None)
        if samples is None:
            samples = list(zip(dataset._image_files, dataset._labels, strict=True))
        folder = self.folder(home) / self.images
        keys = [Path(file).relative_to(folder).as_posix() for file, _ in samples]
        labels = np.array([label for _, label in samples], np.int64)
        return Split(name, keys, labels, partial(read_image_file, [folder / key for key in keys]))

    def _open(self, name: str, home: Home) -> Any:  # noqa: ANN401 (a torchvision data set)
        import torchvision
        from scipy.io.matlab import MatReadError

        folder = self.folder(home)
        try:
            return getattr(torchvision.datasets, self.dataset)(str(folder), split=name)
        except OSError as error:
            what = f"cannot read {error.filename or folder}: {error.strerror or error}"
            raise self._not_official(what, home) from error
        except RuntimeError as error:
            raise MissingError(
                f"the data of task {self.name!r} in {folder} is not whole", self.remedy(home)
            ) from error
        except (*_UNREADABLE, MatReadError) as error:
            what = f"cannot read {self._list(name, home)}: {error or type(error).__name__}"
            raise self._not_official(what, home) from error

    def _check_files(self, name: str, home: Home) -> None:
        """Make sure that the files that a split is read from are there and no other thing."""
        folder = self.folder(home)
        if not (folder / Path(self.images).parts[0]).is_dir():
            raise MissingError(
                f"the data of task {self.name!r} is not in {folder}", self.how_to_get(home)
            )
        needed = (self.names, self.lists.get(name, self.lists["train"]), *self.files)
        for file in filter(None, needed):
            path = folder / file
            if not path.exists():
                raise MissingError(f"task {self.name}: {path} is not there", self.remedy(home))
            if what := damage(path):
                raise self._not_official(f"{path} {what}", home)
            if file in self.files and _md5(path) != self.files[file]:
                raise self._not_official(f"{path} is not the published file", home)

    def _check_images(self, split: Split, home: Home) -> None:
        """Make sure that every image of a split is on disk."""
        folder = self.folder(home) / self.images
        parents = {(folder / key).parent for key in split.keys}
        present = {file for parent in parents if parent.is_dir() for file in parent.iterdir()}
        missing = [key for key in split.keys if folder / key not in present]
        if missing:
            raise self._not_official(
                f"{len(missing)} images of split {split.name} are not in {folder}, "
                f"{missing[0]} the first",
                home,
            )
        # A set that was saved wrongly is wrong as a whole; training decodes every image.
        if split.keys and (what := damage(folder / split.keys[0])):
            raise self._not_official(f"{folder / split.keys[0]} {what}", home)

    def _list(self, name: str, home: Home) -> Path:
        return self.folder(home) / self.lists.get(name, self.lists["train"])

    def _other_names(self, home: Home) -> RequestError:
        what = "has other class names, or in another order"
        if self.names:
            return self._not_official(f"{self.folder(home) / self.names} {what}", home)
        return RequestError(
            f"task {self.name}: torchvision.datasets.{self.dataset} {what}",
            "install the torchvision of constraints.txt",
        )

    def _not_official(self, what: str, home: Home) -> RequestError:
        return RequestError(f"task {self.name}: {what}", self.remedy(home))


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def _pick(whole: Split, chosen: list[int], index: int) -> Image:
    return whole.read(chosen[index])
