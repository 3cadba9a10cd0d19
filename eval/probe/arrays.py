"""Labelled features in any array or tensor, checked before any work."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

LARGEST = 1e15
"""Features' limit; no network's are near it."""


def tensor(features: ArrayLike | Tensor) -> Tensor:
    """Return features as a float32 or float64 tensor without gradients.

    Arrays are moved to the GPU if there is one; tensors stay on their device.
    """
    if not isinstance(features, Tensor):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        features = torch.as_tensor(np.asarray(features), device=device)
    features = features.detach()
    return features if features.dtype == torch.float64 else features.float()


def labelled(
    features: ArrayLike | Tensor, labels: ArrayLike | Tensor, name: str
) -> tuple[Tensor, Tensor]:
    """Return features, float64 ``[n, dim]``, and labels ``[n]`` as tensors on one device.

    Args:
        features: float ``[n, dim]``, at least one of each.
        labels: int ``[n]``.
        name: What to call them in a message.

    Raises:
        ValueError: If they have another shape, or a feature is not finite or beyond `LARGEST`.
    """
    inputs = tensor(features).double()
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
