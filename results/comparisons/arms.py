"""Two arms of an experiment, such as retrieved and synthetic, at every n that both have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.planning.differences import leaves
from results.comparisons.comparison import Comparison, Row, options
from results.conclusions.exchange import exchange
from results.database import queries
from results.database.rows import parse_json
from results.labels import UNADAPTED, in_order
from results.pairs import pair_table
from results.statistics.paired import Estimate

if TYPE_CHECKING:
    from results.database.store import Connection
    from results.experiment import Experiment

_ALIASES = {"unadapted": UNADAPTED}


def label_of(name: str) -> str:
    """Return the label that a user means."""
    return _ALIASES.get(name, name)


def compare_arms(connection: Connection, experiment: Experiment, a: str, b: str) -> Comparison:
    """Return two labels of an experiment side by side.

    A row is an evaluator at an n that both arms were run at; the unadapted model has all.
    """
    means = queries.scaling(connection, experiment)
    rows = list(_rows(means, pair_table(connection, experiment), a, b))
    evaluators = [row.evaluator for row in rows if row.difference]
    ratio = UNADAPTED not in (a, b)
    return Comparison(
        title=experiment.title,
        names=(_shown(a), _shown(b)),
        rows=rows,
        family="all pairs of arms by the evaluator",
        sentences=(
            exchange(connection, experiment, dict.fromkeys(evaluators), (a, b)) if ratio else []
        ),
        options=_options(queries.selected_runs(connection, experiment), a, b),
    )


def _shown(label: str) -> str:
    return "unadapted" if label == UNADAPTED else label


def _rows(means: pd.DataFrame, pairs: pd.DataFrame, a: str, b: str) -> Iterator[Row]:
    for evaluator in in_order(means["evaluator"]):
        both = means[(means["evaluator"] == evaluator) & means["label"].isin([a, b])]
        of_pair = pairs[pairs["evaluator"] == evaluator]
        sizes = {label: set(both[both["label"] == label]["n_used"]) for label in (a, b)}
        unadapted = {a, b} & {UNADAPTED}
        adapted = [sizes[label] for label in (a, b) if label != UNADAPTED]
        shared = set.intersection(*adapted) if adapted and all(sizes.values()) else set()
        for n in sorted(shared):
            points = [_point(both, label, 0 if label in unadapted else n) for label in (a, b)]
            yield _row(evaluator, int(n), points, _pair(of_pair, n, a, b))


def _point(means: pd.DataFrame, label: str, n: int) -> dict[Any, Any]:
    at = means[(means["label"] == label) & ((means["n_used"] == n) | (label == UNADAPTED))]
    return at.to_dict("records")[0]


def _pair(pairs: pd.DataFrame, n: int, a: str, b: str) -> dict[Any, Any] | None:
    """Return the row of two arms, as a less b."""
    for first, second, sign in ((a, b, 1), (b, a, -1)):
        found = pairs[(pairs["n_used"] == n) & (pairs["a"] == first) & (pairs["b"] == second)]
        for row in found.to_dict("records"):
            low, high = sorted(sign * row[end] for end in ("ci_low", "ci_high"))
            turned = {"difference": sign * row["difference"], "ci_low": low, "ci_high": high}
            return {**row, **turned, "seeds": (row["seeds_a"], row["seeds_b"])[::sign]}
    return None


def _row(evaluator: str, n: int, points: list[dict[Any, Any]], pair: dict[Any, Any] | None) -> Row:
    a, b = points
    exact = [pair["p_mcnemar_min"], pair["p_mcnemar_max"]] if pair else []
    return Row(
        evaluator=evaluator,
        metric=str(a["metric"]),
        n=[n],
        scores=(a["mean"], b["mean"]),
        # Of a difference, those that left predictions.
        seeds=pair["seeds"] if pair else (int(a["seeds"]), int(b["seeds"])),
        difference=_estimate(pair) if pair else None,
        p_holm=pair["p_holm"] if pair else None,
        mcnemar=[p for p in exact if not math.isnan(p)],
    )


def _estimate(pair: dict[Any, Any]) -> Estimate:
    return Estimate(
        pair["difference"], pair["ci_low"], pair["ci_high"], pair["p"], bool(pair["over_seeds"])
    )


def _options(runs: pd.DataFrame, a: str, b: str) -> list[tuple[str, str, str]]:
    sides = [
        [_settings(run) for run in runs[runs["label"] == label].to_dict("records")]
        for label in (a, b)
    ]
    if UNADAPTED in (a, b):  # It was not trained, so all of the other's options would be listed.
        sides = [[{"source": one["source"]} for one in side] for side in sides]
    return options(*sides)


def _settings(run: dict[Any, Any]) -> dict[str, object]:
    """Return what a selected run was asked for, but n and seeds."""
    source = dict(leaves(parse_json(run["options"]), "source"))
    source = {name: value for name, value in source.items() if name.rpartition(".")[2] != "seed"}
    train = dict(leaves(parse_json(run["train"]), "train"))
    return {"source": run["source"], "order": run["image_order"], **source, **train}
