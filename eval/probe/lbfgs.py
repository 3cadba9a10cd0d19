"""L-BFGS's memory of a function's curvature (Nocedal and Wright, section 7.2)."""

from collections import deque

import torch
from torch import Tensor

PAIRS = 10
"""Steps that are remembered."""


class Memory:
    """Steps and what they did to the gradient, and the diagonal Hessian to begin with.

    It outlives a change of the quadratic penalty: that adds a known multiple of each step to what
    the step did to the gradient without penalty, which is remembered.
    """

    def __init__(self) -> None:
        self._learnt: deque[tuple[Tensor, Tensor]] = deque(maxlen=PAIRS)
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=PAIRS)
        self._inverse = torch.empty(0)
        self._shrinkage = torch.empty(0)
        self._scale = 1.0

    def start(self, curvature: Tensor, penalised: Tensor, penalty: float) -> None:
        """Go over to another penalty.

        Args:
            curvature: Diagonal of the Hessian without penalty, shaped like the gradient.
            penalised: 1 for coefficients that are penalised, 0 for others; broadcast.
            penalty: Added to the Hessian's diagonal for those that are.
        """
        self._shrinkage = penalty * penalised
        # A floor for intercepts that no image pulls at any more; weights may be of any scale.
        floor = 1e-12 * (1 - penalised) + torch.finfo(torch.float32).tiny
        self._inverse = 1 / torch.maximum(curvature + self._shrinkage, floor)
        self._pairs.clear()
        for step, change in self._learnt:
            self._append(step, change)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step and the change along it of the gradient without penalty."""
        self._learnt.append((step, change))
        if curvature := self._append(step, change):
            # How far the diagonal is off along the latest step (7.20).
            latest = self._pairs[-1][1]
            expected = dot(latest, self._inverse * latest)
            # At losses near float32's least, squares vanish.
            self._scale = curvature / expected if expected else self._scale

    def times_inverse_hessian(self, gradient: Tensor) -> Tensor:
        """Return the estimate of the inverse Hessian times a gradient (algorithm 7.4)."""
        result = gradient.clone()
        factors = []
        for step, change, curvature in reversed(self._pairs):
            factors.append(dot(step, result) / curvature)
            result.add_(change, alpha=-factors[-1])
        result *= self._scale * self._inverse
        for (step, change, curvature), factor in zip(self._pairs, reversed(factors), strict=True):
            result.add_(step, alpha=factor - dot(change, result) / curvature)
        return result

    def _append(self, step: Tensor, change: Tensor) -> float:
        """Keep a pair under the penalty if its curvature is above zero, and return that, else 0."""
        penalised = torch.addcmul(change, self._shrinkage, step)
        curvature = max(0.0, dot(step, penalised))
        if curvature:
            self._pairs.append((step, penalised, curvature))
        return curvature


def dot(left: Tensor, right: Tensor) -> float:
    """Return the sum of products of two tensors of one shape."""
    return float(torch.dot(left.flatten(), right.flatten()))
