"""Decoded images of a split on disk: cropped as a model takes them, not yet normalised.

They take a quarter of the memory of normalised ones, and a split is decoded once for all epochs,
runs and models of one crop.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
import torch
import torchvision
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms import Compose
from torchvision.transforms.functional import normalize

from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.core.progress import Bar, Progress
from bench.core.stage_names import PIXELS
from bench.core.task import Split
from bench.runtime.ahead import ahead
from bench.storage.image_codec import CODEC
from bench.storage.stage import Stage

Pixels = NDArray[np.uint8]
"""Images, uint8 ``[n, h, w, 3]``, mapped into memory."""

_AHEAD = 256
_FILE = "pixels.npy"

_RESIZES = {"Resize", "ResizeKeepRatio"}
_CROPS = {"CenterCrop", "CenterCropOrPad"}
_STEPS = {*_RESIZES, *_CROPS, "MaybeConvertMode"}
_TO_TENSOR = {"MaybeToTensor", "ToTensor"}
"""Classes of torchvision, and what open_clip and timm have in their place."""

_PACKAGES = {"open_clip", "timm", "torchvision"}
_CHANCES = ("random_scale_prob", "random_aspect_prob")


@dataclass(frozen=True)
class Preprocessing:
    """A preprocessing in two halves, of which the first is done once for each image.

    Attributes:
        crop: PIL image to an RGB one of `size`.
        size: Height and width, in pixels.
        recipe: All that decides what `crop` does.
        mean: What is taken from levels of 0 to 1, a number for each channel.
        std: What the rest is divided by.
    """

    crop: Callable[[Image], Image]
    size: tuple[int, int]
    recipe: list[Json]
    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, preprocess: Any) -> "Preprocessing | None":  # noqa: ANN401 (any callable)
        """Return a preprocessing in two halves; None if it has other steps than are known.

        Known are resizing and cropping, to one size and without chance, and then `ToTensor` and
        `Normalize`.
        """
        steps = list(getattr(preprocess, "transforms", []))
        if len(steps) < 3 or any(_package(step) not in _PACKAGES for step in steps):
            return None
        *crop, to_tensor, last = steps
        known = {type(step).__name__ for step in crop} <= _STEPS
        if not known or type(to_tensor).__name__ not in _TO_TENSOR or not _is(last, {"Normalize"}):
            return None
        sized = [step for step in crop if _is(step, _RESIZES | _CROPS)]
        if not sized or any(getattr(step, name, 0) for step in sized for name in _CHANCES):
            return None
        size = sized[-1].size
        # A resize keeps an image's aspect, unless it is given both sides.
        fixed = _is(sized[-1], _CROPS) or (_is(sized[-1], {"Resize"}) and not isinstance(size, int))
        if not fixed or len(size) != 2:
            return None
        recipe = [_described(step) for step in crop]
        return cls(Compose(crop), (size[0], size[1]), recipe, list(last.mean), list(last.std))

    def normalised(self, pixels: Pixels) -> Tensor:
        """Return images as the whole preprocessing does, to the bit: float32 ``[n, 3, h, w]``."""
        images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).contiguous()
        normal: Tensor = normalize(images.float().div_(255), self.mean, self.std, inplace=True)
        return normal


def _is(step: object, names: set[str]) -> bool:
    return type(step).__name__ in names


def _package(step: object) -> str:
    return type(step).__module__.partition(".")[0]


def _described(step: object) -> Json:
    """Return a step's class and settings, some of which its repr leaves out."""
    settings = {name: repr(value) for name, value in vars(step).items() if name[0] != "_"}
    return {"step": type(step).__name__, **settings}


def pixel_stage(
    data: Path,
    task: str,
    split: Split,
    preprocessing: Preprocessing,
    progress: Progress,
    files: str = "",
) -> Stage:
    """Return the stage that keeps a split's cropped images.

    Args:
        data: The folder of all stages.
        task: Fingerprint of the split's task.
        split: The images.
        preprocessing: Its first half is kept.
        progress: Where to report.
        files: `bench.core.files.file_states` of those that the images are in, where the fingerprint
            does not cover them.
    """
    keys = hashlib.sha256("\0".join(split.keys).encode()).hexdigest()
    config: Json = {"task": task, "split": split.name, "keys": keys}
    config |= {"crop": preprocessing.recipe, "codec": CODEC}
    if files:
        config["files"] = files
    config |= {"pillow": PIL.__version__, "torchvision": torchvision.__version__}
    return Stage(data, PIXELS, config, progress=progress)


def kept_pixels(
    stage: Stage, split: Split, preprocessing: Preprocessing, progress: Progress
) -> Pixels:
    """Return a split's images from its stage, which is made first if it is not there.

    Of processes that ask at once, one decodes the images. One that is killed leaves nothing.

    Raises:
        BenchError: If what was kept is damaged.
    """
    shape = (len(split), *preprocessing.size, 3)

    def make(_: int, folder: Path) -> None:
        with (folder / _FILE).open("xb") as stream:
            with progress.bar(f"decode {split.name}", len(split), "image") as bar:
                _write(stream, shape, _cropped(split, preprocessing), bar)
            # Stages are not flushed as they are renamed: zeros would pass for black images.
            stream.flush()
            os.fsync(stream.fileno())

    stage.run(1, make, sharded=False)
    path = stage.shard(0) / _FILE
    try:
        pixels: Pixels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise _damaged(path, stage) from error
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise _damaged(path, stage)
    return pixels


def _damaged(path: Path, stage: Stage) -> BenchError:
    return BenchError(f"{path} is damaged", f"remove {stage.folder}; it is made again")


def _cropped(split: Split, preprocessing: Preprocessing) -> Iterator[Pixels]:
    """Yield a split's images in order, uint8 ``[h, w, 3]``; threads are ahead."""

    def cropped(row: int) -> Pixels:
        return np.asarray(preprocessing.crop(split.read(row)))

    return ahead(cropped, range(len(split)), _AHEAD)


def _write(stream: BinaryIO, shape: tuple[int, ...], images: Iterator[Pixels], bar: Bar) -> None:
    """Write images as one array; not through a map, which a full disk would kill the process by."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for image in images:
        if image.shape != shape[1:]:
            raise BenchError(f"an image was cropped to {image.shape}, not {shape[1:]}")
        stream.write(image.tobytes())
        bar.advance()
