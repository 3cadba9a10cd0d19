"""Multinomial logistic regression for a whole path of penalties, each start near its solution.

The objective is the summed cross-entropy plus half of lambda times the squared weights. Intercepts
are not penalised. Three things make it fast without changing the optimum:

- Features are centred and rotated to their principal axes. There the Hessian is close to its
  diagonal, and L-BFGS starts from that.
- Penalties are taken in descending order. Each starts at the best point of the line through the two
  solutions before it, with L-BFGS's memory of those, corrected for the change of penalty.
- Scores are linear in the coefficients, so a line search needs no product of matrices.

All is float64. In float32, the number of threads moves some predictions, and a penalty chosen by
them (docs/decisions/0004-penalty-within-one-standard-error.md).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from eval.probe.lbfgs import Memory, dot

TOLERANCE = 4e-6
"""Stop when half the Newton decrement, an estimate of the remaining gain, is at most this share of
the objective and of the gain since zero. On a path as dense as the default grid the objective is
then within 1e-4 of the optimum. For a single small penalty and a handful of images, whose curvature
is known from few steps, it is within 1 % (tests/eval/probe/test_grid.py)."""

MAX_STEPS = 500
"""Per penalty. A path as dense as the default grid takes 1 to 4 for each. 250 single penalties on
small problems, some with features of six orders of magnitude, took 315 at most."""

_SUFFICIENT = 1e-4
"""Share of the expected decrease that a step must reach (Nocedal and Wright, section 3.1)."""

_FLAT = 0.25
"""A line search stops when the slope is at most this share of the slope at its start."""

_TRIALS = 12

_EPSILON = 4 * torch.finfo(torch.float64).eps
"""Largest relative rounding error of a probability: an exponential, a sum and a division."""

_ROUNDING = 1e-14
"""Largest relative rounding error of the objective, in float64."""


@dataclass(frozen=True)
class Linear:
    """A linear classifier.

    Attributes:
        weight: float ``[classes, dim]``.
        bias: float ``[classes]``.
    """

    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """Return class indices, int64 ``[n]``, of features, float ``[n, dim]``."""
        return functional.linear(features, self.weight, self.bias).argmax(dim=1)


@dataclass(frozen=True)
class Point:
    """The objective at some coefficients.

    Attributes:
        coefficients: float64 ``[dim + 1, classes]``, the intercepts last.
        scores: The inputs times the coefficients without intercepts, float64 ``[n, classes]``.
            Added to intercepts, weights under a large penalty would be lost in rounding.
        residual: Probability minus one-hot label, float64 ``[n, classes]``.
        loss: The summed cross-entropy.
        penalty: Half of lambda times the squared weights.
    """

    coefficients: Tensor
    scores: Tensor
    residual: Tensor
    loss: float
    penalty: float

    @property
    def value(self) -> float:
        """The objective."""
        return self.loss + self.penalty


class Regression:
    """The problem for one set of labelled features.

    Args:
        features: float64 ``[n, dim]``.
        labels: int64 ``[n]``; every class from 0 on has at least one.
    """

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self._set_up(features, int(labels.max()) + 1)
        self._labels = labels[:, None]
        self._loss_at_zero = len(features) * math.log(self._classes)

    def _set_up(self, features: Tensor, classes: int) -> None:
        """Prepare what depends on the features alone."""
        self._mean = features.mean(dim=0)
        centred = features - self._mean
        self._axes = torch.linalg.eigh(centred.T @ centred).eigenvectors
        self._inputs = centred @ self._axes
        self._classes = classes
        self._squares = functional.pad(self._inputs.square().mean(dim=0), (0, 1), value=1.0)
        self._penalised = torch.ones_like(self._squares)[:, None]
        self._penalised[-1] = 0.0
        self._lengths = (len(features) * self._squares).sqrt()

    def path(self, penalties: Sequence[float]) -> Iterator[Linear]:
        """Yield the solution for each penalty; penalties must descend."""
        n, dim = self._inputs.shape
        coefficients = self._inputs.new_zeros(dim + 1, self._classes)
        scores = self._inputs.new_zeros(n, self._classes)
        solution, memory = self._point(coefficients, scores, 0.0), Memory()
        data_gradient = self._data_gradient(solution)
        before: tuple[Tensor, Tensor] | None = None
        for penalty in penalties:
            last = solution.coefficients, solution.scores
            memory.start(self._curvature(solution), self._penalised, penalty)
            solution = self._with_penalty(solution, penalty)
            if before is not None:
                step, change = last[0] - before[0], last[1] - before[1]
                before = None  # Scores are large.
                if nearer := self._search(solution, step, change, penalty):
                    data_gradient = self._learn(memory, solution, data_gradient, nearer)
                    solution = nearer
                del change, nearer
            solution, data_gradient = self._minimise(solution, data_gradient, memory, penalty)
            before = last
            yield self._to_linear(solution.coefficients)

    def _to_linear(self, coefficients: Tensor) -> Linear:
        weight = (self._axes @ coefficients[:-1]).T
        return Linear(weight, coefficients[-1] - weight @ self._mean)

    def _minimise(
        self, point: Point, data_gradient: Tensor, memory: Memory, penalty: float
    ) -> tuple[Point, Tensor]:
        """Return the solution and its data gradient, from those of a start."""
        for _ in range(MAX_STEPS):
            gradient = data_gradient + penalty * self._penalised * point.coefficients
            gradient[gradient.abs() <= self._rounding(point)] = 0.0
            step = -memory.times_inverse_hessian(gradient)
            if -dot(gradient, step) <= 2 * TOLERANCE * self._reference(point):
                break
            new = self._search(point, step, self._inputs @ step[:-1], penalty)
            if new is None:
                break
            point, data_gradient = new, self._learn(memory, point, data_gradient, new)
        return point, data_gradient

    def _reference(self, point: Point) -> float:
        """Return the measure of a gain: the objective, or the gain since zero if that is less.

        Under a large penalty there is little to gain, but predictions depend on the direction of
        the weights, not on their length. The gain may then be lost in the objective's rounding. At
        the optimum it is at least the penalty: from zero, the loss falls by at least the weights
        times its gradient, which is twice the penalty.
        """
        gained = self._loss_at_zero - point.value - _ROUNDING * self._loss_at_zero
        return min(point.value, max(gained, point.penalty))

    def _rounding(self, point: Point) -> Tensor:
        """Return a bound of the rounding error of the gradient (Cauchy-Schwarz)."""
        return torch.outer(self._lengths, _EPSILON * point.residual.norm(dim=0))

    def _learn(self, memory: Memory, point: Point, data_gradient: Tensor, new: Point) -> Tensor:
        """Return the data gradient at a new point; L-BFGS remembers the step to it."""
        new_gradient = self._data_gradient(new)
        memory.add(new.coefficients - point.coefficients, new_gradient - data_gradient)
        return new_gradient

    def _point(self, coefficients: Tensor, scores: Tensor, penalty: float) -> Point:
        # Relative to the true class, so that losses far below 1e-7 keep their digits.
        odds = scores + coefficients[-1]
        odds.sub_(odds.gather(1, self._labels))
        shift = odds.amax(dim=1, keepdim=True)
        odds.sub_(shift).exp_().scatter_(1, self._labels, 0.0)
        true, others = torch.exp(-shift), odds.sum(dim=1, keepdim=True)
        total = true + others
        losses = torch.where(shift > 0, shift + total.log(), others.log1p())
        residual = odds.div_(total).scatter_(1, self._labels, -others / total)
        loss = float(losses.sum(dtype=torch.float64))
        return self._with_penalty(Point(coefficients, scores, residual, loss, 0.0), penalty)

    def _with_penalty(self, point: Point, penalty: float) -> Point:
        """Return the same point under another penalty."""
        squared = float((self._penalised * point.coefficients.square()).sum())
        return replace(point, penalty=0.5 * penalty * squared)

    def _data_gradient(self, point: Point) -> Tensor:
        """Return the gradient of the cross-entropy alone."""
        return torch.cat([self._inputs.T @ point.residual, point.residual.sum(dim=0, keepdim=True)])

    def _curvature(self, point: Point) -> Tensor:
        """Return roughly the diagonal of the cross-entropy's Hessian, shaped like the coefficients.

        It takes an image's probabilities as independent of its features.
        """
        share = point.residual.abs()
        return torch.outer(self._squares, share.mul_(1 - share).sum(dim=0))

    def _search(self, point: Point, step: Tensor, change: Tensor, penalty: float) -> Point | None:
        """Return a point near the minimum of a line, or None if rounding hides any decrease.

        The signs of slopes bracket the minimum. Inside the bracket, the next point is where the
        line through two slopes crosses zero.

        Args:
            point: Where the line starts.
            step: Its direction, in coefficients.
            change: Its direction, in scores.
            penalty: The penalty.
        """

        def slope(at: Point) -> float:
            shrunk = penalty * self._penalised * at.coefficients
            of_loss = dot(at.residual, change) + dot(at.residual.sum(dim=0), step[-1])
            return of_loss + dot(shrunk, step)

        accepted, best, length = None, (math.inf, math.inf), 1.0
        low, low_slope, high = 0.0, (steepness := slope(point)), math.inf
        if steepness >= 0:
            return None
        for _ in range(_TRIALS):
            new = self._point(
                torch.add(point.coefficients, step, alpha=length),
                torch.add(point.scores, change, alpha=length),
                penalty,
            )
            new_slope = slope(new)
            lower = (1 + _ROUNDING) * point.value + _SUFFICIENT * length * steepness
            if new.value <= lower and _nearer(new.value, new_slope, *best):
                accepted, best = new, (new.value, new_slope)
            if accepted is new and abs(new_slope) <= -_FLAT * steepness:
                break
            bend = (new_slope - low_slope) / (length - low)
            crossing = low - low_slope / bend if bend > 0 else math.inf
            if new_slope < 0:
                low, low_slope = length, new_slope
                length = min(max(crossing, 1.1 * low), 4 * low)
            else:
                high = length
                length = crossing
            if high < math.inf:
                inset = 0.1 * (high - low)
                length = min(max(length, low + inset), high - inset)
        return accepted


def _nearer(value: float, slope: float, best: float, best_slope: float) -> bool:
    """Return whether a point of a line is nearer the minimum than the best so far.

    Slopes keep more digits than values, and decide if values differ by rounding only.
    """
    if abs(slope) < abs(best_slope):
        return value <= (1 + _ROUNDING) * best
    return (1 + _ROUNDING) * value < best
