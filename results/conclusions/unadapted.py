"""How each arm compares to the unadapted model; harm is called harm."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bench.core.records import AtEpoch
from bench.core.size import format_size
from results.database import queries
from results.experiment import Experiment
from results.labels import UNADAPTED, in_order
from results.pairs import paired_difference
from results.statistics.paired import Estimate
from results.wording import (
    grouped,
    interval,
    listed,
    measure,
    percent,
    points,
    sentence,
    sign_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from results.database.store import Connection


class _Change(NamedTuple):
    """What adaptation on an arm's largest n changed, by one evaluator."""

    label: str
    n: int
    score: float
    gain: Estimate

    @property
    def sign(self) -> int:
        """1 for a gain, -1 for harm, 0 without significance."""
        return sign_of(self.gain.low, self.gain.high)

    @property
    def images(self) -> str:
        """The arm and its n in words."""
        return f"{self.label} images at n = {format_size(self.n)}"

    @property
    def size(self) -> str:
        """The gain in points, with its interval."""
        return f"{points(self.gain.value)}, {interval(self.gain.low, self.gain.high)}"


def against_unadapted(
    connection: Connection,
    experiment: Experiment,
    means: pd.DataFrame,
    unchanged: Set[str],
) -> list[str]:
    """Return what each arm did to the unadapted model's score, the first evaluator's in full.

    Of further evaluators, only significant gains and harm are named.

    Args:
        connection: The database.
        experiment: What the figure is about.
        means: Its `results.database.queries.scaling`.
        unchanged: Labels of which every run is the unadapted model.
    """
    before = means[means["label"] == UNADAPTED].set_index("evaluator")["mean"]
    adapted = means[means["label"] != UNADAPTED]
    evaluators = in_order(set(before.index) & set(adapted["evaluator"]))
    if not evaluators:
        return []
    metric = means["metric"].iloc[0]
    changes = {
        evaluator: list(_changes(connection, experiment, adapted, evaluator, unchanged))
        for evaluator in evaluators
    }
    first, *others = evaluators
    clauses = [
        (
            f"{change.label} images {'raise' if change.sign > 0 else 'harm'}",
            f"{measure(evaluator, metric)} ({change.size})",
        )
        for evaluator in others
        for change in changes[evaluator]
        if change.sign
    ]
    texts = [_in_full(measure(first, metric), before[first], changes[first], unchanged)]
    if clauses:
        lead, *more = grouped(sorted(clauses, key=itemgetter(0)))
        texts.append(
            " ".join(
                map(sentence, [f"against the unadapted model, by other evaluators, {lead}", *more])
            )
        )
    return [text for text in texts if text]


def at_trained_epoch(
    connection: Connection, experiment: Experiment, means: pd.DataFrame
) -> Iterator[str]:
    """Yield what training did to arms of which validation kept the unadapted model in some run.

    It compares the best trained epochs at the arm's largest n with the unadapted model: the first
    evaluator's in full, of others only significant gains and harm.
    """
    runs = queries.selected_runs(connection, experiment)
    for label in means.loc[means["label"] != UNADAPTED, "label"].unique():
        rows = means[means["label"] == label]
        n = rows["n_used"].max()
        at_n = runs[(runs["label"] == label) & (runs["n_used"] == n)].drop_duplicates("run_id")
        kept = (at_n["epoch"].eq(0) & at_n["trained_epoch"].gt(0)).sum()
        evaluators = in_order(rows["evaluator"]) if kept else []
        metric = means["metric"].iloc[0]
        changes = {
            measure(evaluator, metric): change
            for evaluator in evaluators
            for change in _changes(connection, experiment, rows, evaluator, at_epoch="trained")
        }
        if changes:
            where = f"{kept} of {len(at_n)} runs of {label} images at n = {format_size(int(n))}"
            yield (
                sentence(f"validation kept the unadapted model in {where}")
                + " "
                + sentence(f"at their best trained epoch, they {listed(_trained(changes))}")
            )


def _trained(changes: dict[str, _Change]) -> list[str]:
    first, *_ = changes
    clauses = [
        (verb, f"{what} to {percent(change.score)} ({change.size})")
        for sign, verb in ((-1, "do harm: they lower"), (1, "raise"))
        for what, change in changes.items()
        if change.sign == sign
    ]
    if not changes[first].sign:
        score = f"{percent(changes[first].score)}, {changes[first].size}"
        clauses.append(("make no significant difference to", f"{first} ({score})"))
    return grouped(clauses)


def _changes(
    connection: Connection,
    experiment: Experiment,
    adapted: pd.DataFrame,
    evaluator: str,
    unchanged: Set[str] = frozenset(),
    at_epoch: AtEpoch = "chosen",
) -> Iterator[_Change]:
    column = "mean" if at_epoch == "chosen" else "trained_mean"
    for label, rows in adapted[adapted["evaluator"] == evaluator].groupby("label", sort=False):
        if label in unchanged:
            continue
        n, score = rows.sort_values("n_used")[["n_used", column]].iloc[-1]
        difference = paired_difference(
            connection, experiment, evaluator, int(n), a=str(label), b=UNADAPTED, at_epoch=at_epoch
        )
        if difference is not None:
            yield _Change(str(label), int(n), float(score), difference.estimate)


def _in_full(what: str, before: float, changes: list[_Change], unchanged: Set[str]) -> str:
    texts = [_moved(change) for change in changes if change.sign]
    same = [
        f"{change.images} ({percent(change.score)}, {change.size})"
        for change in changes
        if not change.sign
    ]
    if same:
        texts.append(f"{listed(same)} make no significant difference")
    if unchanged:
        texts.append(
            f"{listed(sorted(unchanged))} images leave it unchanged, as validation chose the "
            "unadapted model in every run"
        )
    if not texts:
        return ""
    return " ".join(map(sentence, [f"without adaptation, {what} is {percent(before)}", *texts]))


def _moved(change: _Change) -> str:
    verb = "raise it" if change.sign > 0 else "do harm: they lower it"
    return f"{change.images} {verb} to {percent(change.score)} ({change.size})"
