"""Few-shot accuracy: a linear probe on a few training images per class, in several trials.

Each trial samples images and chooses its penalty on the validation split. It is not refitted.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from bench.core.arrays import LabelArray
from bench.core.config import Config, Natural, Positive
from bench.core.task import Task
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._shared import check_one_label
from eval.probe.grid import PENALTIES, GridFit, fit_grid

_GRID = PENALTIES[::4]
"""For so few images, every fourth penalty is enough."""


@dataclass(frozen=True)
class _Fits:
    """A model's probes by number of shots, one per trial."""

    model: ModelView
    by_shots: dict[int, list[GridFit]]


@evaluators.register("few-shot")
class FewShot:
    """Evaluates features by linear probes on few images per class."""

    class Options(Config, frozen=True, kw_only=True):
        """How many images, and how often they are sampled."""

        shots: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (1, 2, 4, 8, 16)
        """Images per class, or all of a class that has fewer."""
        trials: Positive = 5
        """How often images are sampled."""
        seed: Natural = 0
        """Seed of which images each trial takes; the same in every run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fits: _Fits | None = None

    def check(self, task: Task) -> None:
        """Check that an image has one label, of which so many are sampled."""
        check_one_label(task, "few-shot")

    def validate(self, model: ModelView) -> Evaluation:
        """Evaluate the best probe of every trial."""
        return self._evaluate(model, "val")

    def test(self, model: ModelView) -> Evaluation:
        """Evaluate the same probes."""
        return self._evaluate(model, "test")

    def _evaluate(self, model: ModelView, split: str) -> Evaluation:
        features, labels = model.features(split), model.labels(split)
        parts = {}
        for shots, grids in self._fitted(model).items():
            predicted = np.stack([grid.predict(features) for grid in grids])
            chosen = {"l2": [float(grid.l2[grid.chosen]) for grid in grids]}
            parts[str(shots)] = Evaluation(predicted, labels, chosen)
        predicted = np.concatenate([part.predicted for part in parts.values()])
        return Evaluation(predicted, labels, chosen={}, parts=parts)

    def _fitted(self, model: ModelView) -> dict[int, list[GridFit]]:
        if self._fits is None or self._fits.model is not model:
            by_shots = {
                shots: self._fit(model, shots) for shots in sorted(set(self._options.shots))
            }
            self._fits = _Fits(model, by_shots)
        return self._fits.by_shots

    def _fit(self, model: ModelView, shots: int) -> list[GridFit]:
        features, labels = model.features("train"), model.labels("train")
        val, metric = (model.features("val"), model.labels("val")), model.task.metric
        grids = []
        for trial in range(self._options.trials):
            rows = sample(labels, shots, (self._options.seed, trial))
            shown = features[rows], labels[rows]
            grids.append(fit_grid(*shown, *val, _GRID, metric=metric, rule="best"))
        return grids


def sample(labels: LabelArray, shots: int, seed: tuple[int, ...]) -> LabelArray:
    """Return the rows of so many images per class; more shots include those of fewer.

    Args:
        labels: int64 ``[n]``.
        shots: Images per class.
        seed: Fixes the sample.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = [order[labels[order] == label][:shots] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))
