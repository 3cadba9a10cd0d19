"""Pairs of arms on the same test images: differences, intervals, p-values."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.records import AtEpoch
from bench.core.size import format_size
from results.database import queries
from results.experiment import Experiment
from results.labels import UNADAPTED, in_order
from results.statistics.paired import Estimate, mcnemar, metric_value, paired_bootstrap
from results.wording import p_values

if TYPE_CHECKING:
    from results.database.store import Connection

COLUMNS = [
    "evaluator", "metric", "n_used", "a", "b",
    "difference", "ci_low", "ci_high", "p_bootstrap", "p_mcnemar_min", "p_mcnemar_max",
    "seeds_a", "seeds_b", "seed_difference_min", "seed_difference_max",
]  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Arm a minus arm b on the same test images.

    Attributes:
        estimate: The mean over seeds, with its test-sampling interval.
        by_seed: The difference at each seed that both arms have, or the adapted one where the other
            is the unadapted model; no interval.
        seeds: Seeds in each arm.
        mcnemar: McNemar's exact p-value at each of these seeds; none for averages of trials.
    """

    estimate: Estimate
    by_seed: list[float]
    seeds: tuple[int, int]
    mcnemar: list[float]


def paired_difference(  # noqa: PLR0913 (which runs of which two arms)
    connection: Connection,
    experiment: Experiment,
    evaluator: str,
    n: int,
    *,
    a: str = "retrieved",
    b: str = "synthetic",
    at_epoch: AtEpoch = "chosen",
) -> Difference | None:
    """Compare two labels image by image at one n; None where an arm left no predictions.

    The unadapted model (`UNADAPTED`), which has no n, may be compared with an arm at any. Runs are
    compared as the chosen epoch left them, or the best trained one.
    """
    answers, metric = queries.answers(connection, experiment, evaluator, [a, b], n, at_epoch)
    if answers.empty or set(answers.columns.get_level_values("arm")) != {a, b}:
        return None
    answers = answers.droplevel("n_used", axis="columns")
    classes = answers.index.get_level_values("class").to_numpy(np.int64)
    left, right = _of_arm(answers, a), _of_arm(answers, b)
    means = (left.mean(axis="columns") - right.mean(axis="columns")).to_numpy(np.float64)
    seeds = left.columns.intersection(right.columns)
    if UNADAPTED in (a, b):
        seeds = right.columns if a == UNADAPTED else left.columns
    runs = [(_of_seed(left, seed), _of_seed(right, seed)) for seed in seeds]
    exact = [mcnemar(*pair) for pair in runs]
    return Difference(
        estimate=paired_bootstrap(means, classes, metric),
        by_seed=[metric_value(one - other, classes, metric) for one, other in runs],
        seeds=(len(left.columns), len(right.columns)),
        mcnemar=[p for p in exact if p is not None],
    )


def pair_table(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return arm a minus arm b, for every two that share an n, and for each against no adaptation.

    Differences are shares, not points. The interval and its p-value are for the choice of test
    images (a paired bootstrap of the mean over seeds, within classes). McNemar's p-values are the
    least and greatest over the seeds that both arms have, or, against no adaptation, over the
    arm's. They are not corrected for multiple tests.
    """
    means = queries.scaling(connection, experiment)
    baseline = UNADAPTED in set(means["label"])
    adapted = means[means["label"] != UNADAPTED]
    rows = [
        row
        for evaluator in in_order(adapted["evaluator"])
        for n, at_n in adapted[adapted["evaluator"] == evaluator].groupby("n_used")
        for a, b in _pairs(at_n, baseline)
        for row in _row(connection, experiment, evaluator, int(str(n)), a, b)
    ]
    metric = next(iter(means["metric"]), "")
    return pd.DataFrame(rows).assign(metric=metric).reindex(columns=COLUMNS)


def readable(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `pair_table` as text."""
    return pd.DataFrame([_text(row) for row in pairs.to_dict("records")])


def _of_arm(answers: pd.DataFrame, arm: str) -> pd.DataFrame:
    return answers.loc[:, [arm]].droplevel("arm", axis="columns")


def _of_seed(answers: pd.DataFrame, seed: str) -> NDArray[np.float64]:
    """Return the answers of a seed's run; one run of the unadapted model serves every seed."""
    return answers.get(seed, answers.iloc[:, 0]).to_numpy(np.float64)


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
        "p": p_values([row["p_bootstrap"]]),
        "McNemar's p": p_values(exact) if exact else "",
        "seeds": f"{row['seeds_a']} and {row['seeds_b']}",
    }


def _pairs(means: pd.DataFrame, baseline: bool) -> Iterator[tuple[str, str]]:
    arms = sorted(set(means["label"]))
    yield from combinations(arms, 2)
    if baseline:
        yield from ((arm, UNADAPTED) for arm in arms)


def _row(
    connection: Connection,
    experiment: Experiment,
    evaluator: str,
    n: int,
    a: str,
    b: str,
) -> Iterator[dict[str, object]]:
    """Yield the row of one pair; nothing, where an arm left no predictions."""
    difference = paired_difference(connection, experiment, evaluator, n, a=a, b=b)
    if difference is None:
        return
    yield {
        "evaluator": evaluator,
        "n_used": n,
        "a": a,
        "b": b,
        "difference": difference.estimate.value,
        "ci_low": difference.estimate.low,
        "ci_high": difference.estimate.high,
        "p_bootstrap": difference.estimate.p,
        "p_mcnemar_min": min(difference.mcnemar, default=math.nan),
        "p_mcnemar_max": max(difference.mcnemar, default=math.nan),
        "seeds_a": difference.seeds[0],
        "seeds_b": difference.seeds[1],
        "seed_difference_min": min(difference.by_seed, default=math.nan),
        "seed_difference_max": max(difference.by_seed, default=math.nan),
    }
