"""Every pair of arms on the same test images, as a table: differences, intervals, p-values."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.core.size import format_size
from results import queries
from results.equivalence import UNADAPTED
from results.mcnemar import spelt_p
from results.protocols import in_order
from results.queries import Experiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS = [
    "evaluator", "metric", "n_used", "a", "b",
    "difference", "ci_low", "ci_high", "p_bootstrap", "p_mcnemar_min", "p_mcnemar_max",
    "seeds_a", "seeds_b", "seed_difference_min", "seed_difference_max",
]  # fmt: skip


def paired(connection: DuckDBPyConnection, experiment: Experiment) -> pd.DataFrame:
    """Return arm a minus arm b, for every two that share an n, and for each against no adaptation.

    Differences are shares, not points. The interval and its p-value are for the choice of test
    images (a paired bootstrap of the mean over seeds, within classes); McNemar's p-values are the
    least and greatest over the seeds that both arms have, or, against no adaptation, over the
    arm's. They are not corrected for their number.
    """
    means = queries.scaling(connection, experiment)
    baseline = UNADAPTED in set(means["label"])
    adapted = means[means["label"] != UNADAPTED]
    rows = [
        row
        for evaluator in in_order(adapted["evaluator"])
        for n, same in adapted[adapted["evaluator"] == evaluator].groupby("n_used")
        for a, b in _pairs(same, baseline)
        for row in _row(connection, experiment, evaluator, int(str(n)), a, b)
    ]
    metric = next(iter(means["metric"]), "")
    return pd.DataFrame(rows).assign(metric=metric).reindex(columns=COLUMNS)


def readable(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `paired` as text."""
    return pd.DataFrame([_text(row) for row in pairs.to_dict("records")])


def _text(row: dict[Hashable, Any]) -> dict[str, str]:
    other = "unadapted" if row["b"] == UNADAPTED else row["b"]
    value, low, high = (f"{100 * row[name]:+.1f}" for name in ("difference", "ci_low", "ci_high"))
    exact = [row[name] for name in ("p_mcnemar_min", "p_mcnemar_max") if not pd.isna(row[name])]
    return {
        "evaluator": f"{row['evaluator']} {row['metric']}",
        "n used": format_size(row["n_used"]),
        "difference": f"{row['a']} less {other}",
        "points": value,
        "95 % interval": f"{low} to {high}",
        "p": spelt_p([row["p_bootstrap"]]),
        "McNemar's p": spelt_p(exact) if exact else "",
        "seeds": f"{row['seeds_a']} and {row['seeds_b']}",
    }


def _pairs(own: pd.DataFrame, baseline: bool) -> Iterator[tuple[str, str]]:
    arms = sorted(set(own["label"]))
    yield from combinations(arms, 2)
    if baseline:
        yield from ((arm, UNADAPTED) for arm in arms)


def _row(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    evaluator: str,
    n: int,
    a: str,
    b: str,
) -> Iterator[dict[str, object]]:
    """Yield the row of one pair; nothing, where an arm left no predictions."""
    found = queries.paired_difference(connection, experiment, evaluator, n, a=a, b=b)
    if found is None:
        return
    yield {
        "evaluator": evaluator,
        "n_used": n,
        "a": a,
        "b": b,
        "difference": found.estimate.value,
        "ci_low": found.estimate.low,
        "ci_high": found.estimate.high,
        "p_bootstrap": found.estimate.p,
        "p_mcnemar_min": min(found.mcnemar, default=math.nan),
        "p_mcnemar_max": max(found.mcnemar, default=math.nan),
        "seeds_a": found.seeds[0],
        "seeds_b": found.seeds[1],
        "seed_difference_min": min(found.seed_differences, default=math.nan),
        "seed_difference_max": max(found.seed_differences, default=math.nan),
    }
