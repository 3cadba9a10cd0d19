"""Who was right about which test image, as one matrix for all runs of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from bench.core.records import AtEpoch
from results.database.statements import statement
from results.experiment import Experiment

if TYPE_CHECKING:
    from results.database.store import Connection

_RUN = ["arm", "n_used", "seed", "run_seed", "source_seeds", "objective"]
_IMAGE = ["key", "class"]
_MATRICES = 8
"""How many are kept: a million predictions take 8 MB."""


@dataclass(frozen=True)
class Answered:
    """The answers of selected runs to the test images, by one evaluator.

    Attributes:
        correct: 1 where the run was right, else 0; the share of right trials; or what the image
            adds to the mean average precision. NaN where the run did not answer the image.
            Float64 ``[images, runs]``.
        classes: The images' classes, int64 ``[images]``; -1 for images of several labels.
        runs: A row per column of `correct`: the label as ``arm``, ``n_used``, ``seed``,
            ``run_seed`` and ``source_seeds``, as `results.database.queries.answers` says, and
            ``objective``, empty for the unadapted model.
        metric: The metric that the experiment is shown in.
    """

    correct: NDArray[np.float64]
    classes: NDArray[np.int64]
    runs: pd.DataFrame
    metric: str

    def of(self, chosen: NDArray[np.bool_]) -> Answered:
        """Return the answers of some runs, given a mask of them, to the images all of them had."""
        correct = self.correct[:, chosen]
        answered_by_all = ~np.isnan(correct).any(axis=1)
        return Answered(
            correct=correct[answered_by_all],
            classes=self.classes[answered_by_all],
            runs=self.runs[chosen].reset_index(drop=True),
            metric=self.metric,
        )


@lru_cache(maxsize=_MATRICES)
def answered(
    connection: Connection,
    experiment: Experiment,
    evaluator: str,
    at_epoch: AtEpoch = "chosen",
) -> Answered:
    """Return the answers of all selected runs at the chosen epoch, or at the best trained one.

    Of an experiment without an objective they are those of all objectives. The unadapted model has
    but one. It is read once a connection, and must not be changed.
    """
    of: dict[str, object] = experiment._asdict() | {"evaluator": evaluator}
    runs = _polars(connection, "answering", of)
    long = _polars(connection, "answered", of | {"at_epoch": at_epoch})
    runs = runs.join(long, on="run_id", how="semi").sort(_RUN)
    columns = runs.select(_RUN).unique(maintain_order=True).with_row_index("column")
    images = long.select(_IMAGE).unique().sort(_IMAGE).with_row_index("row")
    cells = (
        long.join(runs.join(columns, on=_RUN).select("run_id", "column"), on="run_id")
        .join(images, on=_IMAGE)
        .select("row", "column", "correct")
    )
    return Answered(
        correct=_matrix(cells, images.height, columns.height),
        classes=images["class"].cast(pl.Int64).to_numpy(),
        runs=columns.select(_RUN).to_pandas(),
        metric=next(iter(runs["metric"]), ""),
    )


def _polars(connection: Connection, name: str, parameters: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(connection.sql(statement(name), params=parameters).to_arrow_table())


def _matrix(cells: pl.DataFrame, rows: int, columns: int) -> NDArray[np.float64]:
    """Return the means of the cells; several trials of one image are one answer."""
    place = cells["row"].to_numpy().astype(np.int64) * columns + cells["column"].to_numpy()
    correct = cells["correct"].to_numpy()
    there = ~np.isnan(correct)
    counts = np.bincount(place[there], minlength=rows * columns)
    sums = np.bincount(place[there], correct[there], minlength=rows * columns)
    means = np.divide(sums, counts, out=np.full(rows * columns, np.nan), where=counts > 0)
    matrix: NDArray[np.float64] = means.reshape(rows, columns)
    matrix.flags.writeable = False
    return matrix
