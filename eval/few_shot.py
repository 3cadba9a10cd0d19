"""Few-shot accuracy: a linear probe on so many training images per class, over several draws.

The penalty is chosen on the validation split for every draw; the probe is not refitted with it.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from bench.core.arrays import LabelArray
from bench.core.config import Config, Natural, Positive
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval.linear_probe import PENALTIES, GridFit, fit_grid

_GRID = PENALTIES[::4]
"""Of so few images, every fourth penalty tells as much."""


@dataclass(frozen=True)
class _Fits:
    """A model's probes by number of shots, one per draw."""

    model: ModelView
    by_shots: dict[int, list[GridFit]]


@evaluators.register("few-shot")
class FewShot:
    """Judges features by linear probes on few images per class."""

    class Options(Config, frozen=True, kw_only=True):
        """How many images, and how often they are drawn."""

        shots: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (1, 2, 4, 8, 16)
        """Images per class; a class with fewer gives all it has."""
        draws: Positive = 5
        seed: Natural = 0

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fits: _Fits | None = None

    def validate(self, model: ModelView) -> Evaluation:
        """Judge every draw's best probe."""
        return self._judge(model, "val")

    def test(self, model: ModelView) -> Evaluation:
        """Judge the same probes."""
        return self._judge(model, "test")

    def _judge(self, model: ModelView, split: str) -> Evaluation:
        features, labels = model.features(split), model.labels(split)
        parts = {}
        for shots, grids in self._fitted(model).items():
            predicted = np.stack([grid.predict(features) for grid in grids])
            chosen = {"l2": [float(grid.l2[grid.chosen]) for grid in grids]}
            parts[str(shots)] = Evaluation(predicted, labels, chosen)
        every = np.concatenate([part.predicted for part in parts.values()])
        return Evaluation(every, labels, chosen={}, parts=parts)

    def _fitted(self, model: ModelView) -> dict[int, list[GridFit]]:
        if self._fits is None or self._fits.model is not model:
            by_shots = {
                shots: self._fit(model, shots) for shots in sorted(set(self._options.shots))
            }
            self._fits = _Fits(model, by_shots)
        return self._fits.by_shots

    def _fit(self, model: ModelView, shots: int) -> list[GridFit]:
        features, labels = model.features("train"), model.labels("train")
        val, val_labels = model.features("val"), model.labels("val")
        grids = []
        for index in range(self._options.draws):
            rows = draw(labels, shots, (self._options.seed, index))
            shown, metric = (features[rows], labels[rows]), model.task.metric
            grids.append(fit_grid(*shown, val, val_labels, _GRID, metric=metric, rule="best"))
        return grids


def draw(labels: LabelArray, shots: int, seed: tuple[int, ...]) -> LabelArray:
    """Return the rows of so many images per class; more shots keep those of fewer.

    Args:
        labels: int64 ``[n]``.
        shots: Images per class.
        seed: Fixes the draw.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = [order[labels[order] == label][:shots] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))
