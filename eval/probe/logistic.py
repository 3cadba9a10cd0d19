"""Multinomial logistic regression for a whole path of penalties, each start near its solution.

The objective is the summed cross-entropy plus half of lambda times the squared weights; intercepts
are free. What makes it fast changes nothing about the optimum:

- features are centred and rotated to their principal axes, where the Hessian is near its diagonal,
  which L-BFGS starts from;
- penalties are taken from the largest down; each starts at the best point of the line through the
  two solutions before it, with L-BFGS's memory of those, corrected for the change of penalty;
- scores are linear in the coefficients, so a line is searched without a product of matrices.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from eval.probe.lbfgs import Memory, dot

TOLERANCE = 4e-6
"""Stop when half the Newton decrement, an estimate of what is left to gain, is this small a share
of the objective and of what was gained since zero. On a path as dense as the default grid the
objective is then within 1e-4 of the optimum; for a lone small penalty and a handful of images,
whose curvature is known from few steps, within 1 % (tests/eval/test_probe.py)."""

MAX_STEPS = 500
"""Per penalty. A path as dense as the default grid takes 1 to 4 for each; 250 lone penalties on
small problems took 315 at most, features of six orders of magnitude among them."""

_SUFFICIENT = 1e-4
"""Share of the expected decrease that a step must bring (Nocedal and Wright, section 3.1)."""

_FLAT = 0.25
"""A line is searched until its slope is this share of what it was, or less."""

_TRIALS = 12

_EPSILON = 4 * torch.finfo(torch.float32).eps
"""Share of a probability that rounding may add to it: an exponential, a sum and a division."""

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
        scores: The inputs times the coefficients, intercepts left out: beside them, weights under a
            large penalty would be lost in rounding; float32 ``[n, classes]``.
        residual: Probability minus one-hot label, float32 ``[n, classes]``.
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
        features: float32 ``[n, dim]``.
        labels: int64 ``[n]``; every class from 0 on has at least one.
    """

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self._mean = features.mean(dim=0)
        centred = features - self._mean
        self._axes = torch.linalg.eigh(centred.T @ centred).eigenvectors
        self._inputs = centred @ self._axes
        self._labels = labels[:, None]
        self._classes = int(labels.max()) + 1
        self._squares = functional.pad(self._inputs.square().mean(dim=0), (0, 1), value=1.0)
        self._penalised = torch.ones_like(self._squares)[:, None]
        self._penalised[-1] = 0.0
        self._lengths = (len(features) * self._squares).sqrt()
        self._worst = len(features) * math.log(self._classes)

    def path(self, penalties: Sequence[float]) -> Iterator[Linear]:
        """Yield the solution for each penalty; they must fall from one to the next."""
        n, dim = self._inputs.shape
        coefficients = self._inputs.new_zeros(dim + 1, self._classes)
        scores = self._inputs.new_zeros(n, self._classes)
        solution, before, memory = self._at(coefficients, scores, 0.0), None, Memory()
        pull = self._pull(solution)
        for penalty in penalties:
            last, solution = solution, self._under(solution, penalty)
            memory.start(self._curvature(last), self._penalised, penalty)
            if before is not None:
                ahead = last.coefficients - before.coefficients, last.scores - before.scores
                if nearer := self._search(solution, *ahead, penalty):
                    solution, pull = nearer, self._learn(memory, solution, pull, nearer)
            solution, pull = self._minimise(solution, pull, memory, penalty)
            before = last
            yield self._to_linear(solution.coefficients)

    def _to_linear(self, coefficients: Tensor) -> Linear:
        weight = (self._axes @ coefficients[:-1]).T
        return Linear(weight, coefficients[-1] - weight @ self._mean)

    def _minimise(
        self, point: _Point, pull: Tensor, memory: Memory, penalty: float
    ) -> tuple[_Point, Tensor]:
        """Return the solution and its pull, given where to start and the pull there."""
        for _ in range(MAX_STEPS):
            gradient = pull + penalty * self._penalised * point.coefficients
            gradient[gradient.abs() <= self._rounding(point)] = 0.0
            step = -memory.times_inverse_hessian(gradient)
            if -dot(gradient, step) <= 2 * TOLERANCE * self._reference(point):
                break
            new = self._search(point, step, self._inputs @ step[:-1], penalty)
            if new is None:
                break
            point, pull = new, self._learn(memory, point, pull, new)
        return point, pull

    def _reference(self, point: _Point) -> float:
        """Return what a gain is measured by: the objective, or what was gained since zero if less.

        Under a large penalty there is little to gain; but it is the direction of the weights, not
        their length, that decides what is predicted. What was gained is then lost in the rounding
        of the objective. It is no less than the penalty, at the optimum: there the loss falls from
        zero by at least the weights times its gradient, which is twice the penalty.
        """
        gained = self._worst - point.value - _ROUNDING * self._worst
        return min(point.value, max(gained, point.penalty))

    def _rounding(self, point: _Point) -> Tensor:
        """Return the most that rounding the residual adds to the gradient (Cauchy-Schwarz)."""
        return torch.outer(self._lengths, _EPSILON * point.residual.norm(dim=0))

    def _learn(self, memory: Memory, point: _Point, pull: Tensor, new: _Point) -> Tensor:
        """Return the pull at a new point; what the step there did to it is remembered."""
        new_pull = self._pull(new)
        memory.add(new.coefficients - point.coefficients, new_pull - pull)
        return new_pull

    def _at(self, coefficients: Tensor, scores: Tensor, penalty: float) -> _Point:
        # Relative to the true class, so that losses far below 1e-7 keep their digits.
        odds = scores + coefficients[-1]
        odds.sub_(odds.gather(1, self._labels))
        shift = odds.amax(dim=1, keepdim=True)
        odds.sub_(shift).exp_().scatter_(1, self._labels, 0.0)
        own, others = torch.exp(-shift), odds.sum(dim=1, keepdim=True)
        total = own + others
        losses = torch.where(shift > 0, shift + total.log(), others.log1p())
        residual = odds.div_(total).scatter_(1, self._labels, -others / total)
        loss = float(losses.sum(dtype=torch.float64))
        return self._under(_Point(coefficients, scores, residual, loss, 0.0), penalty)

    def _under(self, point: _Point, penalty: float) -> _Point:
        """Return a point with the objective that another penalty makes of it."""
        squared = float((self._penalised * point.coefficients.square()).sum())
        return replace(point, penalty=0.5 * penalty * squared)

    def _pull(self, point: _Point) -> Tensor:
        """Return the gradient of the cross-entropy alone."""
        return torch.cat([self._inputs.T @ point.residual, point.residual.sum(dim=0, keepdim=True)])

    def _curvature(self, point: _Point) -> Tensor:
        """Return about the diagonal of the cross-entropy's Hessian, shaped like the coefficients.

        As if how sure a point is of an image did not depend on the image's features.
        """
        share = point.residual.abs()
        return torch.outer(self._squares, (share * (1 - share)).sum(dim=0))

    def _search(self, point: _Point, step: Tensor, change: Tensor, penalty: float) -> _Point | None:
        """Return a point far down a line, or None where rounding hides any decrease.

        The slopes' signs close in on the minimum; within, it is where the line through two slopes
        crosses zero.

        Args:
            point: Where the line starts.
            step: Its direction, in coefficients.
            change: Its direction, in scores.
            penalty: The penalty.
        """

        def slope(at: _Point) -> float:
            shrunk = penalty * self._penalised * at.coefficients
            pulls = dot(at.residual, change) + dot(at.residual.sum(dim=0), step[-1])
            return pulls + dot(shrunk, step)

        found, best, length = None, (math.inf, math.inf), 1.0
        low, low_slope, high = 0.0, (steepness := slope(point)), math.inf
        if steepness >= 0:
            return None
        for _ in range(_TRIALS):
            new = self._at(
                torch.add(point.coefficients, step, alpha=length),
                torch.add(point.scores, change, alpha=length),
                penalty,
            )
            new_slope = slope(new)
            lower = (1 + _ROUNDING) * point.value + _SUFFICIENT * length * steepness
            if new.value <= lower and _nearer(new.value, new_slope, *best):
                found, best = new, (new.value, new_slope)
            if found is new and abs(new_slope) <= -_FLAT * steepness:
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
        return found


def _nearer(value: float, slope: float, best: float, best_slope: float) -> bool:
    """Tell whether a point of a line is nearer the minimum than the best so far.

    Slopes keep more digits than values, and decide between values in rounding's reach.
    """
    if abs(slope) < abs(best_slope):
        return value <= (1 + _ROUNDING) * best
    return (1 + _ROUNDING) * value < best
