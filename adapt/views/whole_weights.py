"""Weighted sums of 8-bit values that are exact in float32, whatever their order.

Weights are whole multiples of 2**-15, so sums stay below 2**24. Then an image comes out the same to
the bit in any batch, in any process and on any processor.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_UNIT = 2.0**15


def whole_weights(kernels: NDArray[np.float64]) -> Tensor:
    """Return kernels, whose last axis is summed over, as weights: float32, times 2**15."""
    whole = np.round(kernels / kernels.sum(-1, keepdims=True) * _UNIT)
    return torch.from_numpy(whole.astype(np.float32))


def rounded(sums: Tensor) -> Tensor:
    """Return weighted sums as whole values of 0 to 255, in their place."""
    return sums.mul_(1 / _UNIT).add_(0.5).floor_().clamp_(0, 255)
