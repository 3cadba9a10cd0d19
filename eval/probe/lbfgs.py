"""L-BFGS's memory of a function's curvature (Nocedal and Wright, section 7.2)."""

from collections import deque

import torch
from torch import Tensor

PAIRS = 10
"""How many steps are remembered."""


class Memory:
    """Steps with their changes of the gradient, and the diagonal Hessian to start from.

    It survives a change of the quadratic penalty. Changes are remembered without penalty, which
    adds a known multiple of the step.
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[Tensor, Tensor]] = deque(maxlen=PAIRS)
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=PAIRS)
        self._inverse = torch.empty(0)
        self._shrinkage = torch.empty(0)
        self._scale = 1.0

    def start(self, curvature: Tensor, penalised: Tensor, penalty: float) -> None:
        """Change to another penalty.

        Args:
            curvature: Diagonal of the Hessian without penalty, shaped like the gradient.
            penalised: 1 for coefficients that are penalised, 0 for others; broadcast.
            penalty: Added to the Hessian's diagonal for penalised coefficients.
        """
        self._shrinkage = penalty * penalised
        # A floor for intercepts without any gradient left; weights may be of any scale.
        floor = 1e-12 * (1 - penalised) + torch.finfo(torch.float32).tiny
        self._inverse = 1 / torch.maximum(curvature + self._shrinkage, floor)
        self._pairs.clear()
        for step, change in self._steps:
            self._append(step, change)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step and its change of the gradient without penalty."""
        self._steps.append((step, change))
        if curvature := self._append(step, change):
            # The scale that fits the diagonal to the latest step (7.20).
            latest = self._pairs[-1][1]
            expected = dot(latest, self._inverse * latest)
            # Of the smallest losses, squares vanish.
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
        """Keep a pair under the penalty if its curvature is above zero; return that, else 0."""
        penalised = torch.addcmul(change, self._shrinkage, step)
        curvature = max(0.0, dot(step, penalised))
        if curvature:
            self._pairs.append((step, penalised, curvature))
        return curvature


def dot(left: Tensor, right: Tensor) -> float:
    """Return the scalar product of two tensors of one shape."""
    return float(torch.dot(left.flatten(), right.flatten()))
