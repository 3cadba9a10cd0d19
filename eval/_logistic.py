"""Multinomial logistic regression for a whole path of penalties, each start near its solution.

The objective is the summed cross-entropy plus half of lambda times the squared weights; intercepts
are free. Three things make it fast, and none of them changes the optimum: features are centred and
rotated to their principal axes, where the Hessian is close to its diagonal; L-BFGS starts from that
diagonal; and penalties are taken from the largest down, each starting where the line through the
two solutions before it leads.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

TOLERANCE = 2e-5
"""Stop when half the Newton decrement, an estimate of what is left to gain, is this small a share
of the objective; the objective is then within 1e-4 of the optimum (tests/test_eval_logistic.py)."""

MEMORY = 10
"""Correction pairs that L-BFGS keeps."""

MAX_STEPS = 1000

_SUFFICIENT = 1e-4
"""Share of the expected decrease that a step must bring (Nocedal and Wright, section 3.1)."""

_ROUNDING = 1e-6
"""Share of the objective that rounding may add to it, in float32."""


@dataclass(frozen=True)
class Linear:
    """A linear classifier.

    Attributes:
        weight: float32 ``[classes, dim]``.
        bias: float32 ``[classes]``.
    """

    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """Return class indices, int64 ``[n]``, of features, float32 ``[n, dim]``."""
        return functional.linear(features, self.weight, self.bias).argmax(dim=1)


@dataclass(frozen=True)
class _Point:
    """The objective at some coefficients.

    Attributes:
        coefficients: float32 ``[dim + 1, classes]``, the intercepts last.
        value: The objective.
        gradient: Of the objective, like the coefficients.
        residual: Probability minus one-hot label, float32 ``[n, classes]``.
    """

    coefficients: Tensor
    value: float
    gradient: Tensor
    residual: Tensor


class Regression:
    """The problem for one set of labelled features.

    Args:
        features: float32 ``[n, dim]``.
        labels: int64 ``[n]``; every class from 0 on has at least one.
    """

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self._mean = features.mean(dim=0)
        centred = features - self._mean
        self._axes = torch.linalg.eigh(centred.T @ centred).eigenvectors
        self._inputs = functional.pad(centred @ self._axes, (0, 1), value=1.0)
        self._labels = labels[:, None]
        self._classes = int(labels.max()) + 1
        self._penalised = torch.ones_like(self._inputs[0])[:, None]
        self._penalised[-1] = 0.0

    def path(self, penalties: Sequence[float]) -> Iterator[Linear]:
        """Yield the solution for each penalty; they must fall from one to the next."""
        solution = before = self._penalised.new_zeros(len(self._penalised), self._classes)
        for index, penalty in enumerate(penalties):
            ahead = 0.0
            if index >= 2:
                ahead = math.log(penalty / penalties[index - 1]) / math.log(
                    penalties[index - 1] / penalties[index - 2]
                )
            start = solution + ahead * (solution - before)
            before, solution = solution, self._minimise(start, penalty)
            yield self._to_linear(solution)

    def _to_linear(self, coefficients: Tensor) -> Linear:
        weight = (self._axes @ coefficients[:-1]).T
        return Linear(weight, coefficients[-1] - weight @ self._mean)

    def _evaluate(self, coefficients: Tensor, penalty: float) -> _Point:
        scores = self._inputs @ coefficients
        # Relative to the true class, so that losses far below 1e-7 keep their digits.
        margins = scores - scores.gather(1, self._labels)
        margins.scatter_(1, self._labels, -math.inf)
        against = margins.logsumexp(dim=1, keepdim=True)
        losses = functional.softplus(against)
        residual = torch.exp(margins - losses)
        residual.scatter_(1, self._labels, -torch.exp(against - losses))
        shrunk = penalty * self._penalised * coefficients
        value = losses.sum(dtype=torch.float64) + 0.5 * (shrunk * coefficients).sum()
        gradient = torch.addmm(shrunk, self._inputs.T, residual)
        return _Point(coefficients, float(value), gradient, residual)

    def _hessian_diagonal(self, point: _Point, penalty: float) -> Tensor:
        share = point.residual.abs()
        curvature = self._inputs.square().T @ (share * (1 - share))
        # A floor for intercepts that no image pulls at any more.
        return (curvature + penalty * self._penalised).clamp_min(1e-12)

    def _minimise(self, start: Tensor, penalty: float) -> Tensor:
        """Return the optimal coefficients: L-BFGS on the diagonal Hessian at the start."""
        point = self._evaluate(start, penalty)
        inverse = 1 / self._hessian_diagonal(point, penalty)
        pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=MEMORY)
        for taken in range(MAX_STEPS):
            direction = _lbfgs_direction(point.gradient, inverse, pairs)
            decrement = _dot(point.gradient, direction)
            # One step at least: under a large penalty there is little to gain, but it is the
            # direction of the weights, not their length, that decides what is predicted.
            if taken and decrement <= 2 * TOLERANCE * point.value:
                break
            new = self._line_search(point, direction, decrement, penalty)
            if new is None:
                break
            step, change = new.coefficients - point.coefficients, new.gradient - point.gradient
            curvature = _dot(step, change)
            if curvature > 0:
                pairs.append((step, change, curvature))
            point = new
        return point.coefficients

    def _line_search(
        self, point: _Point, direction: Tensor, decrement: float, penalty: float
    ) -> _Point | None:
        """Return a point that is lower enough, or None where rounding hides any decrease."""
        length, slack = 1.0, _ROUNDING * point.value
        while length > 1e-6:
            new = self._evaluate(point.coefficients - length * direction, penalty)
            if new.value <= point.value + slack - _SUFFICIENT * length * decrement:
                return new
            # The minimum of the parabola through both values, kept within bounds.
            excess = new.value - point.value + length * decrement
            best = 0.5 * length**2 * decrement / excess
            length = min(max(best, 0.1 * length), 0.5 * length)
        return None


def _lbfgs_direction(
    gradient: Tensor, inverse: Tensor, pairs: deque[tuple[Tensor, Tensor, float]]
) -> Tensor:
    """Return the inverse Hessian's estimate times the gradient (Nocedal and Wright, 7.4)."""
    direction = gradient.clone()
    factors = []
    for step, change, curvature in reversed(pairs):
        factors.append(_dot(step, direction) / curvature)
        direction.add_(change, alpha=-factors[-1])
    direction *= inverse
    for (step, change, curvature), factor in zip(pairs, reversed(factors), strict=True):
        direction.add_(step, alpha=factor - _dot(change, direction) / curvature)
    return direction


def _dot(left: Tensor, right: Tensor) -> float:
    return float(torch.dot(left.flatten(), right.flatten()))
