"""How each arm compares to the unadapted model; harm is called harm."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bench.core.size import format_size
from results.conclusions.certainty import certainty, sign
from results.database import queries
from results.experiment import Experiment
from results.labels import UNADAPTED, in_order
from results.pairs import Difference, Pair, differences
from results.wording import grouped, listed, measure, percent, points, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from results.database.store import Connection


class _Change(NamedTuple):
    """What adaptation on an arm's largest n changed, by one evaluator."""

    label: str
    n: int
    score: float
    gain: Difference

    @property
    def sign(self) -> int:
        """1 for a gain, -1 for harm, 0 without significance."""
        return sign(self.gain)

    @property
    def where(self) -> str:
        """What keeps a statement to the runs there are, if it was not tested over seeds."""
        return "" if self.gain.estimate.over_seeds else "in these runs, "

    @property
    def images(self) -> str:
        """The arm and its n in words."""
        return f"{self.label} images at n = {format_size(self.n)}"

    @property
    def size(self) -> str:
        """The gain in points, with its interval."""
        adapted, _ = self.gain.seeds
        return f"{points(self.gain.estimate.value)}, {certainty(self.gain, [adapted])}"


def against_unadapted(
    known: dict[Pair, Difference], means: pd.DataFrame, unchanged: Set[str]
) -> list[str]:
    """Return what each arm did to the unadapted model's score, the first evaluator's in full.

    Of further evaluators, only significant gains and harm are named.

    Args:
        known: An experiment's `results.pairs.differences`.
        means: Its `results.database.queries.scaling`.
        unchanged: Labels of which every run is the unadapted model.
    """
    before = means[means["label"] == UNADAPTED].set_index("evaluator")["mean"]
    adapted = means[means["label"] != UNADAPTED]
    evaluators = in_order(set(before.index) & set(adapted["evaluator"]))
    if not evaluators:
        return []
    metrics = dict(zip(means["evaluator"], means["metric"], strict=True))
    changes = {
        evaluator: list(_changes(known, adapted, evaluator, unchanged)) for evaluator in evaluators
    }
    first, *others = evaluators
    clauses = [
        (
            f"{change.where}{change.label} images {'raise' if change.sign > 0 else 'harm'}",
            f"{measure(evaluator, metrics[evaluator])} ({change.size})",
        )
        for evaluator in others
        for change in changes[evaluator]
        if change.sign
    ]
    texts = [_in_full(measure(first, metrics[first]), before[first], changes[first], unchanged)]
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
    unused = runs["epoch"].eq(0) & runs["trained_epoch"].gt(0)
    known = differences(connection, experiment, "trained") if unused.any() else {}
    metrics = dict(zip(means["evaluator"], means["metric"], strict=True))
    for label in means.loc[means["label"] != UNADAPTED, "label"].unique():
        rows = means[means["label"] == label]
        n = rows["n_used"].max()
        of_label = (runs["label"] == label) & (runs["n_point"] == n)
        kept, of = (runs.loc[some, "run_id"].nunique() for some in (of_label & unused, of_label))
        changes = {
            measure(evaluator, metrics[evaluator]): change
            for evaluator in (in_order(rows["evaluator"]) if kept else [])
            for change in _changes(known, rows, evaluator, score="trained_mean")
        }
        if changes:
            # Records of earlier versions have no scores of that epoch.
            over, _ = next(iter(changes.values())).gain.seeds
            all_ = "all " if over == of else ""
            whose = "at their" if over == kept else f"over {all_}{over}, each at its"
            where = f"{kept} of {of} runs of {label} images at n = {format_size(int(n))}"
            yield (
                sentence(f"validation kept the unadapted model in {where}")
                + " "
                + sentence(f"{whose} best trained epoch, they {listed(_trained(changes))}")
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
    known: dict[Pair, Difference],
    adapted: pd.DataFrame,
    evaluator: str,
    unchanged: Set[str] = frozenset(),
    score: str = "mean",
) -> Iterator[_Change]:
    for label, rows in adapted[adapted["evaluator"] == evaluator].groupby("label", sort=False):
        if label in unchanged:
            continue
        n, value = rows.sort_values("n_used")[["n_used", score]].iloc[-1]
        gain = known.get(Pair(evaluator, int(n), str(label), UNADAPTED))
        if gain is not None:
            yield _Change(str(label), int(n), float(value), gain)


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
    return f"{change.where}{change.images} {verb} to {percent(change.score)} ({change.size})"
