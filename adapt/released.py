"""Weights that authors released as a file of torch, kept as an image encoder's folder.

The file is a pickle. Only tensors, plain values and the `argparse.Namespace` of a training's
options are read of it, and nothing in it is executed.
"""

import argparse
import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import save_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from adapt.models import load_model
from bench.core.errors import RequestError
from bench.core.files import atomic_folder, content_hash, write_json
from bench.core.progress import first_few, printable
from bench.core.weights_folder import ENCODER_CONFIG, ENCODER_WEIGHTS, SOURCE_FILE

_WITHIN = ("state_dict", "model")
"""Where in a file the weights may be; else they are all of it."""

_PREFIXES = {
    "visual.": "",
    "student.backbone.": "the student's of a training; its teacher's are left out",
    "teacher.backbone.": "the teacher's of a training",
    "": "",
}
"""What the names of the tower's weights may begin with, and what is to be said of such weights.

The authors' trainer keeps student and teacher, and says nowhere which of them is evaluated. The
student is taken, as it is what the loss trains.
"""

_DROPPED = ("head.", "mask_token")
"""Weights that no feature depends on: a classifier's, and what stands for masked patches."""

_LARGEST_PICKLE = 64 * 2**20
"""Bytes of what a file has beside its tensors; a large ViT and its optimiser have less than one."""

_DAMAGE = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RuntimeError),
    *(AssertionError, MemoryError, pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What reading a file may raise that is cut, or made to do harm."""


class Tower(NamedTuple):
    """A tower's weights.

    Attributes:
        state: Each by its name in timm, as large as in the file.
        note: What is to be said of where they were in the file; empty for nothing.
    """

    state: dict[str, Tensor]
    note: str


def keep_released(architecture: str, file: Path, folder: Path) -> str:
    """Keep a released tower as an image encoder; the folder is there whole or not at all.

    Images are preprocessed as for SynCLR's linear transfer: the short side is resized to the
    network's size, bicubic, and the centre is cut out (Tian 2023, code,
    main_downstream_linear.py:348-353). Mean and deviation are ImageNet's, which its public code
    trains with (augmentations.py:107); that of its evaluation takes CLIP's
    (main_downstream_linear.py:494). What the released weights were trained with is not known.

    Args:
        architecture: The network's name in timm.
        file: The file of torch.
        folder: Where it goes; it is not there yet, and the caller holds a lock on its name.

    Returns:
        What is to be said of the weights that were taken; empty for nothing.

    Raises:
        RequestError: If the file cannot be read, or has other weights than the network's.
        BenchError: If what was written does not load.
    """
    tower = _tower(_content(file), file)
    network = _meta(architecture)
    _check(tower.state, network.state_dict(), file)
    with atomic_folder(folder) as temporary:
        write_json(temporary / ENCODER_CONFIG, _config(architecture, network, tower.note))
        weights = temporary / ENCODER_WEIGHTS
        save_file(_whole(tower.state, file), weights, {"format": "pt"})
        source = {"file": file.name, "content": content_hash(file)}
        write_json(temporary / SOURCE_FILE, source | {"weights": content_hash(weights)})
        load_model(temporary)
    return tower.note


def is_kept_from(file: Path, folder: Path) -> bool:
    """Return whether a folder was made of a file, whatever the file is called.

    Raises:
        RequestError: If the file cannot be read.
    """
    try:
        made_of = json.loads((folder / SOURCE_FILE).read_bytes())["content"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return bool(made_of == content_hash(file))


def _content(file: Path) -> object:
    """Return what a file of torch has, its tensors not read yet.

    Raises:
        RequestError: If it cannot be read, or has other things than `safe_globals` allows.
    """
    try:
        _check_size(file)
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise RequestError(
            f"{file} has more in it than weights and plain values, and is not loaded",
            "give the file as its authors released it",
        ) from error
    except _DAMAGE as error:
        raise RequestError(
            f"{file} cannot be read as weights of torch: {_short(error)}",
            "get the file again, or save it with torch 1.6 or later",
        ) from error


def _check_size(file: Path) -> None:
    """Make sure that a file takes no more memory than disk: its parts are stored as they are."""
    if file.exists() and not file.is_file():
        raise ValueError("it is no file")  # Some would be waited for without an end.
    with zipfile.ZipFile(file) as parts:
        for part in parts.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{printable(part.filename)} in it is compressed")
            if part.filename.endswith(".pkl") and part.file_size > _LARGEST_PICKLE:
                raise ValueError(f"{printable(part.filename)} in it is too large")


def _short(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error))[:120] or type(error).__name__


def _tower(content: object, file: Path) -> Tower:
    """Return the tower's weights under their names in timm.

    Raises:
        RequestError: If there are none.
    """
    weights = dict(_named(content))
    for prefix, note in _PREFIXES.items():
        found = {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix) and not name.removeprefix(prefix).startswith(_DROPPED)
        }
        if "cls_token" in found:
            return Tower(found, note)
    raise RequestError(
        f"{file} has no weights of a ViT: no cls_token among {len(weights)} named tensors",
        "give the file as its authors released it",
    )


def _named(content: object) -> Iterator[tuple[str, Tensor]]:
    """Yield the named tensors of a file; ``module.``, of several processes, is taken away."""
    if isinstance(content, dict):
        inner = next((content[name] for name in _WITHIN if name in content), content)
        for name, value in inner.items() if isinstance(inner, dict) else ():
            if isinstance(name, str) and isinstance(value, Tensor):
                yield name.removeprefix("module."), value


def _meta(architecture: str) -> Any:  # noqa: ANN401 (timm's models)
    """Return a network without memory for its weights."""
    with torch.device("meta"):
        return timm.create_model(architecture, num_classes=0)


def _check(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path) -> None:
    """Make sure that weights are those of a network, by name and shape.

    Raises:
        RequestError: If they are not; it says which, in short.
    """
    faults = {
        "missing": sorted(expected.keys() - state.keys()),
        "unknown": sorted(printable(name)[:60] for name in state.keys() - expected.keys()),
        "of another shape": [
            f"{name} {list(state[name].shape)} for {list(expected[name].shape)}"
            for name in sorted(expected.keys() & state.keys())
            if state[name].shape != expected[name].shape
        ],
        "no numbers": [name for name in sorted(state) if not _is_dense(state[name])],
    }
    said = [f"{len(few)} {what} ({first_few(few)})" for what, few in faults.items() if few]
    if said:
        raise RequestError(
            f"{file} has other weights than the network's: {'; '.join(said)}",
            "give the file of this model, or the name of that model",
        )


def _is_dense(value: Tensor) -> bool:
    strided = value.layout == torch.strided and not value.is_quantized
    return value.is_floating_point() and strided and not value.is_meta


def _whole(state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Return weights as float32 of their own memory.

    Raises:
        RequestError: If some are no finite numbers.
    """
    whole = {
        name: torch.empty(value.shape, dtype=torch.float32).copy_(value.detach())
        for name, value in state.items()
    }
    broken = [name for name, value in whole.items() if not value.isfinite().all()]
    if broken:
        raise RequestError(
            f"{file} has weights that are no finite numbers: {first_few(broken)}",
            "get the file again",
        )
    return whole


def _config(architecture: str, network: Any, note: str) -> dict[str, Any]:  # noqa: ANN401
    """Return a configuration as timm writes it for the Hub."""
    size = list(network.pretrained_cfg["input_size"])
    preprocessing = {
        "input_size": size,
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
        "mean": list(IMAGENET_DEFAULT_MEAN),
        "std": list(IMAGENET_DEFAULT_STD),
        "num_classes": 0,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
        **({"notes": [f"weights: {note}"]} if note else {}),
    }
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": network.num_features,
        "global_pool": "token",
        "pretrained_cfg": preprocessing,
    }
