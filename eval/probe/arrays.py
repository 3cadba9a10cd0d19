"""Labelled features in any array or tensor, checked before any work."""

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.runtime.memory_errors import is_out_of_memory

R = TypeVar("R")

LARGEST = 1e15
"""Features' limit; no network's are near it."""


def devices() -> list[str]:
    """Return where to fit a probe, the best place first: the GPU if there is one, then the CPU.

    Not measured on CUDA. Consumer cards do 1/64 of their float32 operations in float64, which is
    still more than a few cores do.
    """
    return ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]


def first_that_fits(work: Callable[[str], R], places: Sequence[str]) -> R:
    """Return what some work makes on the first device with memory enough; warn if one has not.

    Raises:
        OutOfMemoryError: If the last one's memory is too short, too.
    """
    for device, following in pairwise(places):
        try:
            return work(device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            text = (
                f"memory of {device} is too short for the linear probe; going on with {following}"
            )
        # Out of the handler, where the error still holds its tensors.
        warnings.warn(text, stacklevel=2)
        torch.cuda.empty_cache()
    return work(places[-1])


def tensor(features: ArrayLike | Tensor, device: str | None = None) -> Tensor:
    """Return features as a float32 or float64 tensor without gradients.

    Arrays are moved to a device, by default the first of `devices`; tensors stay on theirs.
    """
    if not isinstance(features, Tensor):
        features = torch.as_tensor(np.asarray(features), device=device or devices()[0])
    features = features.detach()
    return features if features.dtype == torch.float64 else features.float()


def labelled(
    features: ArrayLike | Tensor, labels: ArrayLike | Tensor, name: str, device: str | None = None
) -> tuple[Tensor, Tensor]:
    """Return features, float64 ``[n, dim]``, and labels ``[n]`` as tensors on one device.

    Args:
        features: float ``[n, dim]``, at least one of each.
        labels: int ``[n]``.
        name: What to call them in a message.
        device: Where arrays are moved, as `tensor` does.

    Raises:
        ValueError: If they have another shape, or a feature is not finite or beyond `LARGEST`.
    """
    inputs = tensor(features, device).double()
    targets = torch.as_tensor(labels, device=inputs.device)
    if inputs.ndim != 2 or not inputs.numel():
        raise ValueError(f"{name} features must be [n, dim], not {list(inputs.shape)}")
    if targets.shape != inputs.shape[:1]:
        raise ValueError(
            f"{name} labels must be [{len(inputs)}] like their features, not {list(targets.shape)}"
        )
    # Not `if max > LARGEST`, which is false for NaN.
    if not inputs.abs().max() <= LARGEST:
        raise ValueError(f"{name} features must be finite and no larger than {LARGEST:g}")
    return inputs, targets


def positive(l2: ArrayLike) -> NDArray[np.float64]:
    """Return penalties, float64 ``[g]``.

    Raises:
        ValueError: If there are none, or one is not above zero and finite.
    """
    penalties = np.asarray(l2, dtype=np.float64)
    if penalties.ndim != 1 or not penalties.size:
        raise ValueError(f"l2 must be a list of penalties, not of shape {list(penalties.shape)}")
    wrong = penalties[~((penalties > 0) & np.isfinite(penalties))]
    if wrong.size:
        raise ValueError(f"l2 must be above zero and finite, not {wrong[0]:g}")
    return penalties
