"""The first table of the page: what came out of each task, by each evaluator."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from results.conclusions.certainty import sign
from results.conclusions.exchange import briefly, worth
from results.experiment import Experiment
from results.labels import UNADAPTED, in_order
from results.pairs import Difference, Pair
from results.wording import measure, p_values

if TYPE_CHECKING:
    from results.database.store import Connection


class Row(NamedTuple):
    """What came out between two arms by one evaluator, at the largest n that both have.

    Attributes:
        evaluator: The evaluator and its metric.
        n: Images used.
        a: The first arm.
        b: The second arm.
        scores: Their means, shares.
        difference: The first less the second.
        ratio: How many images of the second are worth one of the first, in words.
    """

    evaluator: str
    n: int
    a: str
    b: str
    scores: tuple[float, float]
    difference: Difference
    ratio: str

    @property
    def winner(self) -> str:
        """The better arm, and what it takes back; ``neither`` without significance."""
        which = sign(self.difference)
        if not which:
            return "neither"
        better = self.a if which > 0 else _shown(self.b)
        if not self.difference.estimate.over_seeds:
            return f"{better}, in these runs"
        return better if self.difference.p_holm < 0.05 else f"{better}, before correction"

    @property
    def versus(self) -> str:
        """Both arms in words."""
        return f"{self.a} less {_shown(self.b)}"

    @property
    def tested(self) -> str:
        """What the interval is over."""
        return "images, seeds" if self.difference.estimate.over_seeds else "images"

    @property
    def p_holm(self) -> str:
        """Holm's p-value; empty where seeds were not tested."""
        estimate = self.difference.estimate
        return p_values([self.difference.p_holm]) if estimate.over_seeds else ""


def overview(
    connection: Connection,
    experiment: Experiment,
    means: pd.DataFrame,
    known: dict[Pair, Difference],
) -> list[Row]:
    """Return a row per evaluator: retrieved less synthetic images.

    Where there are not both, each arm less no adaptation; without that, all pairs of arms.

    Args:
        connection: The database.
        experiment: What to sum up.
        means: Its `results.database.queries.scaling`.
        known: Its `results.pairs.differences`.
    """
    arms = dict(zip(means["label"], means["source"], strict=True))
    both = [pair for pair in known if _is_the_question(pair, arms)]
    wanted = both or [pair for pair in known if pair.b == UNADAPTED] or list(known)
    largest: dict[tuple[str, str, str], Pair] = {}
    for pair in sorted(wanted, key=lambda pair: pair.n):
        largest[pair.evaluator, pair.a, pair.b] = pair
    order = in_order(pair.evaluator for pair in largest.values())
    chosen = sorted(largest.values(), key=lambda pair: (order.index(pair.evaluator), pair.a))
    return [_row(connection, experiment, means, pair, known[pair]) for pair in chosen]


def _is_the_question(pair: Pair, arms: dict[str, str]) -> bool:
    return (arms.get(pair.a), arms.get(pair.b)) == ("retrieved", "synthetic")


def _row(
    connection: Connection,
    experiment: Experiment,
    means: pd.DataFrame,
    pair: Pair,
    difference: Difference,
) -> Row:
    rows = means[means["evaluator"] == pair.evaluator]
    scores = (_score(rows, pair.a, pair.n), _score(rows, pair.b, pair.n))
    ratio = ""
    if pair.b != UNADAPTED:
        ratio = briefly(worth(connection, experiment, pair.evaluator, (pair.a, pair.b)))
    evaluator = measure(pair.evaluator, next(iter(rows["metric"])))
    return Row(evaluator, pair.n, pair.a, pair.b, scores, difference, ratio)


def _score(rows: pd.DataFrame, label: str, n: int) -> float:
    at = rows["label"].eq(label) & (rows["n_used"].eq(n) | (label == UNADAPTED))
    return float(rows.loc[at, "mean"].iloc[0])


def _shown(label: str) -> str:
    return "unadapted" if label == UNADAPTED else label
