"""Two runs, by their records and by what they predicted of the same test images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.core.errors import BenchError, RequestError
from bench.core.files import read_parquet
from bench.core.paths import Home
from bench.core.records import RunRecord, Score
from bench.planning.differences import all_settings
from results.comparisons.comparison import Comparison, Row, options
from results.labels import in_order
from results.statistics.paired import Estimate, compare, holm, mcnemar

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMAGE = ["key", "label"]


def compare_runs(home: Home, records: tuple[RunRecord, RunRecord]) -> Comparison:
    """Return two runs side by side, by every score that both have.

    Differences are on the test images that both answered, at the epochs that validation chose; of
    two runs there is no variance over seeds.

    Args:
        home: Where their predictions are.
        records: Of both.

    Raises:
        RequestError: If they are of different tasks, or one is not finished.
        BenchError: If predictions cannot be read.
    """
    for record in records:
        if record.status != "done":
            raise RequestError(
                f"run {record.run_id} is not finished: {record.error}", "compare runs that are done"
            )
    a, b = records
    tasks = [record.spec.fingerprints.get("task", record.spec.task) for record in records]
    if tasks[0] != tasks[1]:
        raise RequestError(
            f"{a.run_id} is of {a.spec.task}, {b.run_id} of {b.spec.task}",
            "compare runs of one task",
        )
    rows = list(_rows(records, (_answers(home, a.run_id), _answers(home, b.run_id))))
    corrected = iter(holm([row.difference.p for row in rows if row.difference]))
    return Comparison(
        title=a.spec.task,
        names=(a.run_id, b.run_id),
        rows=[replace(row, p_holm=next(corrected)) if row.difference else row for row in rows],
        family="the rows of this table",
        sentences=[],
        options=options([_settings(a)], [_settings(b)]),
    )


def _settings(record: RunRecord) -> dict[str, object]:
    spec = record.spec
    own = {"preset": spec.preset, "source": spec.source, "n": spec.n, "seed": spec.seed}
    return {**own, **all_settings(spec)}


def _answers(home: Home, run_id: str) -> pl.DataFrame:
    """Return who was right about which test image: ``evaluator``, `_IMAGE` and ``correct``."""
    path = home.run(run_id) / "predictions.parquet"
    if not path.is_file():
        return pl.DataFrame(
            schema={
                "evaluator": pl.String,
                "key": pl.String,
                "label": pl.Int64,
                "correct": pl.Float64,
            }
        )
    try:
        rows = read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BenchError(f"cannot read {path}: {error}", "repeat the run") from error
    chosen = pl.lit("chosen") if "at_epoch" not in rows.columns else pl.col("at_epoch")
    right = (pl.col("label") == pl.col("predicted")).cast(pl.Float64)
    added = pl.coalesce("correct", right) if "correct" in rows.columns else right
    return (
        rows.filter(pl.col("split") == "test", chosen == "chosen")
        .with_columns(correct=added, label=pl.col("label").cast(pl.Int64).fill_null(-1))
        .group_by("evaluator", *_IMAGE)
        .agg(pl.col("correct").mean())
    )


def _rows(
    records: tuple[RunRecord, RunRecord], answers: tuple[pl.DataFrame, pl.DataFrame]
) -> Iterator[Row]:
    a, b = (_scores(record) for record in records)
    both = answers[0].join(answers[1], on=["evaluator", *_IMAGE], suffix="_b").sort(_IMAGE)
    shared = {evaluator for evaluator, _ in a.keys() & b.keys()}
    for evaluator in in_order(shared):
        pairs = both.filter(pl.col("evaluator") == evaluator)
        for key in (key for key in a if key[0] == evaluator and key in b):
            estimate, exact = _compared(pairs, key[1])
            yield Row(
                evaluator=evaluator,
                metric=key[1],
                n=[record.n.used for record in records],
                scores=(a[key].value, b[key].value),
                seeds=(1, 1),
                difference=estimate,
                p_holm=None,
                mcnemar=exact,
            )


def _scores(record: RunRecord) -> dict[tuple[str, str], Score]:
    return {
        (score.evaluator, score.metric): score
        for score in record.scores
        if score.split == "test" and score.at_epoch == "chosen"
    }


def _compared(pairs: pl.DataFrame, metric: str) -> tuple[Estimate | None, list[float]]:
    """Return the difference on the same images, and McNemar's p-value where it tests the metric."""
    if pairs.is_empty() or metric not in _METRICS:
        return None, []
    left, right = (_column(pairs, name) for name in ("correct", "correct_b"))
    labels = pairs["label"].to_numpy().astype(np.int64)
    estimate = compare(left[:, None], right[:, None], labels, metric)
    exact = mcnemar(left, right) if metric == "accuracy" else None
    return estimate, [] if exact is None else [exact]


_METRICS = ("accuracy", "mean-per-class", "mean-average-precision", "miou")
"""Those that are a mean of what single images are worth."""


def _column(pairs: pl.DataFrame, name: str) -> NDArray[np.float64]:
    return pairs[name].to_numpy().astype(np.float64)
