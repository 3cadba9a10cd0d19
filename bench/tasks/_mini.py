"""The miniature world's tasks; their images are not in the pool."""

from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.core.arrays import MaskArray
from bench.core.config import parse_config
from bench.core.paths import Home
from bench.core.task import Split, Task
from bench.core.yaml_files import read_yaml
from bench.miniworld.pool import IMAGE_SIZE, split_arrays, split_seeds
from bench.miniworld.render import CLASSES
from bench.miniworld.render.masks import render_mask


class MiniTask(Task, frozen=True, kw_only=True):
    """One domain of the miniature world."""

    rendered = True
    masked = True

    domain: str

    @classmethod
    def load(cls, domain: str) -> "MiniTask":
        """Return a domain's task, with the settings in ``_mini.yaml``."""
        name = f"mini-{domain}"
        values = read_yaml(Path(__file__).with_name("_mini.yaml"))
        extra = {"name": name, "domain": domain, "class_names": CLASSES[domain]}
        return parse_config(cls, {**values["all"], **values[domain], **extra}, f"the task {name}")

    def open_split(self, name: str, home: Home) -> Split:
        """Render one split."""
        images, labels = _rendered(self.domain, name)
        keys = [f"{name}/{index:05d}" for index in range(len(labels))]
        return Split(
            name, keys, labels, partial(_image, images), mask=partial(_mask, self.domain, name)
        )


@cache
def _rendered(domain: str, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return split_arrays(domain, split)


def _image(images: NDArray[np.uint8], index: int) -> Image.Image:
    return Image.fromarray(images[index])


@cache
def _mask(domain: str, split: str, index: int) -> MaskArray:
    """Return the mask of an image; what is not the object is a class of its own, the last."""
    names, seeds = CLASSES[domain], split_seeds(split)
    label, row = divmod(index, len(seeds))
    there = render_mask(domain, names[label], seeds[row], size=IMAGE_SIZE)
    mask = np.where(there, label + 1, len(names) + 1).astype(np.uint8)
    mask.flags.writeable = False  # It is shared.
    return mask
