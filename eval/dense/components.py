"""Principal components of patch tokens, as colours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import FloatArray

_Array = NDArray[np.float64]

COLOURS = 3
"""Components that are shown, as red, green and blue."""


@dataclass(frozen=True)
class Components:
    """The directions along which tokens vary most.

    Attributes:
        mean: The tokens' mean, float64 ``[width]``.
        axes: Orthonormal directions, the one of the most variance first, float64 ``[k, width]``.
        shares: Each one's share of the variance, float64 ``[k]``; 0 where there is none.
    """

    mean: _Array
    axes: _Array
    shares: _Array

    @classmethod
    def of(cls, tokens: FloatArray, count: int = COLOURS) -> "Components":
        """Return the first components of tokens, ``[n, width]``.

        Signs are free, and fixed so that the loading of the largest magnitude is positive, as
        scikit-learn's `svd_flip` with ``u_based_decision=False`` fixes them.
        """
        wide = tokens.astype(np.float64)
        mean = wide.mean(axis=0)
        centred = wide - mean
        variances, vectors = np.linalg.eigh(centred.T @ centred)
        axes = vectors[:, ::-1].T[:count]
        largest = np.abs(axes).argmax(axis=1)
        axes *= np.sign(np.take_along_axis(axes, largest[:, None], axis=1))
        total = max(variances.sum(), np.finfo(np.float64).tiny)
        return cls(mean, axes, np.maximum(variances[::-1][:count], 0) / total)

    def projected(self, tokens: FloatArray) -> _Array:
        """Return tokens ``[..., width]`` in these components, float64 ``[..., k]``."""
        projected: _Array = (tokens.astype(np.float64) - self.mean) @ self.axes.T
        return projected


def coloured(tokens: FloatArray) -> tuple[NDArray[np.uint8], _Array]:
    """Return the patches of images in the colours of their joint first three components.

    Each component goes from 0, its least value over all images, to 255, its greatest; one that
    varies by no more than rounding is 0.

    Args:
        tokens: Patch tokens of images, ``[n, rows, columns, width]``.

    Returns:
        uint8 ``[n, rows, columns, 3]``, and each component's share of the variance.
    """
    flat = tokens.reshape(-1, tokens.shape[-1])
    found = Components.of(flat)
    values = found.projected(flat)
    low, high = values.min(axis=0), values.max(axis=0)
    # What is left to a component of no variance is rounding, which would fill the scale with noise.
    rounding = np.finfo(np.float32).eps * np.linalg.norm(flat, axis=1).max()
    spread = np.where(high - low > rounding, high - low, np.inf)
    levels = np.round(255 * (values - low) / spread).astype(np.uint8)
    return levels.reshape(*tokens.shape[:-1], COLOURS), found.shares
