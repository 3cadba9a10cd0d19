"""The three published benchmarks, read by torchvision from a local copy; downloads nothing."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.core.config import parse_config
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import Split, Task
from bench.core.yaml_files import read_yaml


class PublishedTask(Task, frozen=True, kw_only=True):
    """A benchmark that torchvision knows, kept below ``$BENCH_HOME/tasks/NAME``."""

    dataset: str
    """The torchvision class."""
    val_of_train: float = 0.0
    """Share of the train split held out as val, where the benchmark has none."""

    @classmethod
    def load(cls, name: str, dataset: str, val_of_train: float = 0.0) -> "PublishedTask":
        """Return a task, with the settings in the YAML file of its name."""
        values = read_yaml(Path(__file__).with_name(f"{name}.yaml"))
        extra = {"name": name, "dataset": dataset, "val_of_train": val_of_train}
        return parse_config(cls, {**values, **extra}, f"the task {name}")

    def check(self, home: Home) -> None:
        """Make sure that torchvision finds the benchmark."""
        self._open("test", home)

    def open_split(self, name: str, home: Home) -> Split:
        """Open one split through torchvision."""
        if not self.val_of_train:
            return self._all(name, home)
        whole = self._all("test" if name == "test" else "train", home)
        if name == "test":
            return whole
        # Seed 42 and the shuffle are ours: the paper does not say how the authors split.
        order = np.random.default_rng(42).permutation(len(whole))
        held_out = round(len(whole) * self.val_of_train)
        chosen = np.sort(order[:held_out] if name == "val" else order[held_out:])
        return Split(
            name,
            [whole.keys[index] for index in chosen],
            whole.labels[chosen],
            partial(_pick, whole, chosen),
        )

    def _all(self, name: str, home: Home) -> Split:
        dataset = self._open(name, home)
        labels = getattr(dataset, "_labels", None)
        if labels is None:
            labels = [label for _, label in dataset._samples]
        keys = [f"{name}/{index:05d}" for index in range(len(labels))]
        return Split(name, keys, np.asarray(labels, np.int64), partial(_image, dataset))

    def _open(self, name: str, home: Home) -> Any:  # noqa: ANN401 (a torchvision data set)
        import torchvision

        root = home.tasks / self.name
        try:
            return getattr(torchvision.datasets, self.dataset)(str(root), split=name)
        except (RuntimeError, OSError) as error:
            raise MissingError(
                f"the data of task {self.name!r} is not in {root}",
                f"fetch it with `bench fetch --task {self.name}`, or try --preset mini",
            ) from error


def _image(dataset: Any, index: int) -> Image.Image:  # noqa: ANN401
    image: Image.Image = dataset[index][0]
    return image.convert("RGB")


def _pick(
    whole: Split, chosen: np.ndarray[tuple[int], np.dtype[np.int64]], index: int
) -> Image.Image:
    return whole.read(int(chosen[index]))
