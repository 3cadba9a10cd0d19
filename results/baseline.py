"""How each arm stands to the unadapted model, as sentences; harm is called harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bench.core.size import format_size
from results import queries
from results.bootstrap import Estimate
from results.equivalence import UNADAPTED
from results.protocols import in_order
from results.queries import Experiment
from results.wording import (
    grouped,
    interval,
    judged,
    listed,
    percent,
    points,
    sentence,
    sign_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from duckdb import DuckDBPyConnection


class _Stand(NamedTuple):
    """An arm at its largest n against the unadapted model, by one evaluator."""

    label: str
    n: int
    score: float
    gain: Estimate

    @property
    def sign(self) -> int:
        return sign_of(self.gain.low, self.gain.high)


def against_unadapted(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    means: pd.DataFrame,
    unchanged: Set[str],
) -> list[str]:
    """Return what each arm did to the unadapted model's score, the first evaluator's in full.

    Of further evaluators, only gains and harm that the study can tell are named.

    Args:
        connection: The database.
        experiment: What the figure is about.
        means: Its `results.queries.scaling`.
        unchanged: Labels of which every run is the unadapted model.
    """
    before = means[means["label"] == UNADAPTED].set_index("evaluator")["mean"]
    adapted = means[means["label"] != UNADAPTED]
    first, *others = in_order(set(before.index) & set(adapted["evaluator"])) or [""]
    if not first:
        return []
    metric = means["metric"].iloc[0]
    stands = {
        evaluator: list(_stands(connection, experiment, adapted, evaluator, unchanged))
        for evaluator in (first, *others)
    }
    said = [_in_full(judged(first, metric), before[first], stands[first], unchanged)]
    told = [
        (
            f"{stand.label} images {'raise' if stand.sign > 0 else 'harm'}",
            f"{judged(evaluator, metric)} ({_gain(stand)})",
        )
        for evaluator in others
        for stand in stands[evaluator]
        if stand.sign
    ]
    if told:
        others_say = grouped(sorted(told, key=_arm))
        said.append(sentence(f"against the unadapted model, by other evaluators: {others_say}"))
    return [one for one in said if one]


def _arm(told: tuple[str, str]) -> str:
    return told[0]


def _stands(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    adapted: pd.DataFrame,
    evaluator: str,
    unchanged: Set[str],
) -> Iterator[_Stand]:
    own = adapted[adapted["evaluator"] == evaluator]
    for label, rows in own.groupby("label", sort=False):
        if label in unchanged:
            continue
        n, score = rows.sort_values("n_used")[["n_used", "mean"]].iloc[-1]
        found = queries.paired_difference(
            connection, experiment, evaluator, int(n), a=str(label), b=UNADAPTED
        )
        if found is not None:
            yield _Stand(str(label), int(n), float(score), found.estimate)


def _in_full(what: str, before: float, stands: list[_Stand], unchanged: Set[str]) -> str:
    one_n = len({stand.n for stand in stands}) == 1
    clauses = [_moved(stand, one_n) for stand in stands if stand.sign]
    same = [
        f"{_named(stand, one_n)} ({percent(stand.score)}, {_gain(stand)})"
        for stand in stands
        if not stand.sign
    ]
    if same:
        clauses.append(f"{listed(same)} make no difference that this study could tell")
    if clauses and one_n:
        clauses[0] = f"at n = {format_size(stands[0].n)}, {clauses[0]}"
    if unchanged:
        clauses.append(
            f"{listed(sorted(unchanged))} images leave it there, as validation chose the "
            "unadapted model in every run"
        )
    if not clauses:
        return ""
    return sentence(f"without adaptation, {what} is {percent(before)}; {'; '.join(clauses)}")


def _moved(stand: _Stand, one_n: bool) -> str:
    verb = "raise it" if stand.sign > 0 else "do harm: they lower it"
    return f"{_named(stand, one_n)} {verb} to {percent(stand.score)} ({_gain(stand)})"


def _named(stand: _Stand, one_n: bool) -> str:
    return f"{stand.label} images" + ("" if one_n else f" at n = {format_size(stand.n)}")


def _gain(stand: _Stand) -> str:
    return f"{points(stand.gain.value)}, {interval(stand.gain.low, stand.gain.high)}"
