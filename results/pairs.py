"""Pairs of arms on the same test images: differences, intervals, p-values."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bench.core.records import AtEpoch
from bench.core.size import format_size
from results.database import queries
from results.database.answered import Answered, answered
from results.digits import decimals
from results.experiment import Experiment
from results.labels import UNADAPTED, in_order
from results.statistics.paired import Estimate, Seeds, compare, holm, mcnemar, metric_value
from results.wording import covered, measure, p_values

if TYPE_CHECKING:
    from results.database.store import Connection

COLUMNS = [
    "evaluator", "metric", "n_used", "a", "b",
    "difference", "ci_low", "ci_high", "p", "p_holm", "over_seeds",
    "p_mcnemar_min", "p_mcnemar_max",
    "seeds_a", "seeds_b", "seed_difference_min", "seed_difference_max",
]  # fmt: skip

_KINDS = ("run_seed", "source_seeds")
_EXPERIMENTS = 64
"""How many are remembered: a report asks for the differences of each several times."""


class Pair(NamedTuple):
    """Two labels to compare by an evaluator, at one n of the first."""

    evaluator: str
    n: int
    a: str
    b: str


@dataclass(frozen=True)
class Difference:
    """Arm a minus arm b on the same test images.

    Attributes:
        estimate: The mean over seeds, with its interval, over seeds too where there are enough.
        p_holm: Its p-value, corrected for all pairs that it was computed among.
        by_seed: The difference at each seed that both arms have, or the adapted one where the other
            is the unadapted model; no interval.
        seeds: Seeds in each arm.
        mcnemar: McNemar's exact p-value at each of these seeds; none for averages of trials.
    """

    estimate: Estimate
    p_holm: float
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
    answers = answered(connection, experiment, evaluator, at_epoch)
    return _difference(answers, Pair(evaluator, n, a, b), from_scratch=experiment.from_scratch)


def differences(
    connection: Connection, experiment: Experiment, at_epoch: AtEpoch = "chosen"
) -> dict[Pair, Difference]:
    """Return every two arms that share an n, and each arm against no adaptation.

    A family for Holm's correction is all pairs by one evaluator, at every n.
    """
    return dict(_differences(connection, experiment, at_epoch))


def pair_table(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return `differences` as a table, arm a minus arm b.

    Differences are shares, not points. Interval and p are over test images and, where
    ``over_seeds``, seeds (`results.statistics.paired.compare`); ``p_holm`` is p corrected for all
    rows of the evaluator. McNemar's p-values are the least and greatest over the seeds that both
    arms have, or, against no adaptation, over the arm's; they are not corrected.
    """
    means = queries.scaling(connection, experiment)
    metrics = dict(zip(means["evaluator"], means["metric"], strict=True))
    rows = [
        _row(pair, metrics[pair.evaluator], difference)
        for pair, difference in differences(connection, experiment).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def readable(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `pair_table` as text, with as many digits as an evaluator's intervals."""
    half_widths = 50 * (pairs["ci_high"] - pairs["ci_low"])
    digits = half_widths.groupby(pairs["evaluator"]).transform(decimals).astype(int)
    rows = zip(pairs.to_dict("records"), digits, strict=True)
    return pd.DataFrame([_text(row, own) for row, own in rows])


@lru_cache(maxsize=_EXPERIMENTS)
def _differences(
    connection: Connection, experiment: Experiment, at_epoch: AtEpoch
) -> dict[Pair, Difference]:
    means = queries.scaling(connection, experiment)
    baseline = UNADAPTED in set(means["label"])
    adapted = means[means["label"] != UNADAPTED]
    known: dict[Pair, Difference] = {}
    for evaluator in in_order(adapted["evaluator"]):
        answers = answered(connection, experiment, evaluator, at_epoch)
        pairs = _pairs(adapted[adapted["evaluator"] == evaluator], evaluator, baseline)
        found = {
            pair: _difference(answers, pair, from_scratch=experiment.from_scratch) for pair in pairs
        }
        known |= _corrected({pair: one for pair, one in found.items() if one is not None})
    return known


def _difference(answers: Answered, pair: Pair, *, from_scratch: bool) -> Difference | None:
    """Compare two arms at one n; None where one of them left no predictions there."""
    arms, at_n = answers.runs["arm"], answers.runs["n_used"] == pair.n
    sides = [(arms == arm) & (at_n | (arm == UNADAPTED)) for arm in (pair.a, pair.b)]
    return difference(answers, (sides[0], sides[1]), from_scratch=from_scratch)


def difference(
    answers: Answered, runs: tuple[pd.Series[bool], pd.Series[bool]], *, from_scratch: bool
) -> Difference | None:
    """Compare some runs with others image by image; None where either left no predictions.

    Args:
        answers: The answers of both.
        runs: Which rows of its `runs` are the ones, and which the others.
        from_scratch: Whether the network was untrained.
    """
    either = (runs[0] | runs[1]).to_numpy()
    of = answers.of(either)
    sides = [side.to_numpy()[either] for side in runs]
    if not of.correct.size or not all(side.any() for side in sides):
        return None
    left, right = (of.correct[:, side] for side in sides)
    of_sides = [of.runs[side] for side in sides]
    adapted = [not one["arm"].eq(UNADAPTED).all() for one in of_sides]
    in_step = [(left[:, i], right[:, j]) for i, j in _in_step(of_sides, adapted)]
    exact = [mcnemar(*two) for two in in_step]
    # Another seed is another untrained network.
    seeded = adapted[0] or from_scratch, adapted[1] or from_scratch
    kinds = _kinds(of_sides[0]), _kinds(of_sides[1])
    estimate = compare(left, right, of.classes, of.metric, seeded=seeded, seeds=kinds)
    return Difference(
        estimate=estimate,
        p_holm=estimate.p,
        by_seed=[metric_value(one - other, of.classes, of.metric) for one, other in in_step],
        seeds=(left.shape[1], right.shape[1]),
        mcnemar=[p for p in exact if p is not None],
    )


def _in_step(sides: Sequence[pd.DataFrame], adapted: Sequence[bool]) -> list[tuple[int, int]]:
    """Return which runs of two sides, by their places in each, have one seed.

    One run of the unadapted model serves every seed of the adapted one's.
    """
    places = [{seed: place for place, seed in enumerate(runs["seed"])} for runs in sides]
    seeded = [of_side for of_side, one in zip(places, adapted, strict=True) if one]
    seeds = set.intersection(*map(set, seeded))
    left, right = places
    return [(left.get(seed, 0), right.get(seed, 0)) for seed in sorted(seeds)]


def _kinds(runs: pd.DataFrame) -> Seeds:
    """Return which seed of each kind, its own and its source's, each run had."""
    return np.column_stack([runs[kind].factorize()[0] for kind in _KINDS])


def _text(row: dict[Hashable, Any], digits: int) -> dict[str, str]:
    other = "unadapted" if row["b"] == UNADAPTED else row["b"]
    columns = ("difference", "ci_low", "ci_high")
    value, low, high = (f"{100 * row[name] + 0.0:+.{digits}f}" for name in columns)
    exact = [row[name] for name in ("p_mcnemar_min", "p_mcnemar_max") if not pd.isna(row[name])]
    return {
        "evaluator": measure(row["evaluator"], row["metric"]),
        "n used": format_size(row["n_used"]),
        "difference": f"{row['a']} less {other}",
        "points": value,
        "95 % interval": f"{low} to {high}",
        "over": covered(over_seeds=row["over_seeds"]),
        "p": p_values([row["p"]]),
        "Holm's p": p_values([row["p_holm"]]),
        "McNemar's p": p_values(exact) if exact else "",
        "seeds": f"{row['seeds_a']} and {row['seeds_b']}",
    }


def _pairs(means: pd.DataFrame, evaluator: str, baseline: bool) -> Iterator[Pair]:
    """Yield the pairs by an evaluator, given the mean scores of its adapted models."""
    for n, at_n in means.groupby("n_used"):
        arms = sorted(set(at_n["label"]))
        others = [(arm, UNADAPTED) for arm in arms] if baseline else []
        for a, b in [*combinations(arms, 2), *others]:
            yield Pair(evaluator, int(str(n)), a, b)


def _corrected(family: dict[Pair, Difference]) -> dict[Pair, Difference]:
    corrected = holm([difference.estimate.p for difference in family.values()])
    return {
        pair: replace(difference, p_holm=p)
        for (pair, difference), p in zip(family.items(), corrected, strict=True)
    }


def _row(pair: Pair, metric: str, difference: Difference) -> dict[str, object]:
    estimate = difference.estimate
    return {
        "evaluator": pair.evaluator,
        "metric": metric,
        "n_used": pair.n,
        "a": pair.a,
        "b": pair.b,
        "difference": estimate.value,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "p": estimate.p,
        "p_holm": difference.p_holm,
        "over_seeds": estimate.over_seeds,
        "p_mcnemar_min": min(difference.mcnemar, default=math.nan),
        "p_mcnemar_max": max(difference.mcnemar, default=math.nan),
        "seeds_a": difference.seeds[0],
        "seeds_b": difference.seeds[1],
        "seed_difference_min": min(difference.by_seed, default=math.nan),
        "seed_difference_max": max(difference.by_seed, default=math.nan),
    }
