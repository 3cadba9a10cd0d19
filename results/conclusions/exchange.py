"""How many images of one arm are worth how many of the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.core.size import format_size
from results.database.answered import answered
from results.experiment import Experiment
from results.labels import UNADAPTED
from results.statistics.equivalence import Answers, Equivalence, Ratio, equivalence
from results.statistics.paired import ENOUGH_SEEDS
from results.wording import listed, measure, percent, seed_count, sentence

if TYPE_CHECKING:
    from results.database.store import Connection


_REMEMBERED = 256
"""Results; a report asks for each several times, and each takes a thousand resamples."""


class _Measured(NamedTuple):
    """What the second arm's images are worth by an evaluator and its metric."""

    measure: str
    worth: Equivalence


def exchange(
    connection: Connection,
    experiment: Experiment,
    evaluators: Iterable[str],
    arms: tuple[str, str],
) -> list[str]:
    """Return the sentences on how many images are worth how many; none where there are no curves.

    Args:
        connection: The database.
        experiment: What the figure is about.
        evaluators: Whose curves to look at.
        arms: The labels that are exchanged; the second one's images are worth some of the first's.
    """
    a, b = arms
    ratios: list[_Measured] = []
    open_ended: list[_Measured] = []
    no_gain: list[_Measured] = []
    for evaluator in evaluators:
        answers = answers_of(connection, experiment, evaluator, arms)
        found = worth(connection, experiment, evaluator, arms)
        if answers and found is not None:
            measured = _Measured(measure(evaluator, answers.metric), found)
            if _bought_nothing(found):
                no_gain.append(measured)
            elif _is_open(found):
                open_ended.append(measured)
            else:
                ratios.append(measured)
    return [
        *([_ratios(ratios, a, b)] if ratios else []),
        *([_open_ended(open_ended, a, b)] if open_ended else []),
        *([_no_ratio(no_gain, b)] if no_gain else []),
    ]


def briefly(found: Equivalence | None) -> str:
    """Return the ratio with its interval, or why there is none, as short as a table wants it."""
    if found is None:
        return "takes two sizes of each"
    if _bought_nothing(found):
        return "no reliable gain"
    if _is_open(found):
        return "not determined"
    return f"{in_words(found.ratio)} ({_ends(found)})"


def _bought_nothing(found: Equivalence) -> bool:
    return found.low is None or found.high is None


def _is_open(found: Equivalence) -> bool:
    """Return whether the interval ends at neither side within the sizes tried."""
    ends = (found.low, found.high)
    return [end.sign for end in ends if end is not None] == ["<", ">="]


@lru_cache(maxsize=_REMEMBERED)
def worth(
    connection: Connection, experiment: Experiment, evaluator: str, arms: tuple[str, str]
) -> Equivalence | None:
    """Return what the second arm's images are worth in the first's; None where no curves are."""
    answers = answers_of(connection, experiment, evaluator, arms)
    return equivalence(answers, *arms) if answers else None


def answers_of(
    connection: Connection, experiment: Experiment, evaluator: str, arms: Sequence[str]
) -> Answers | None:
    """Return what the arms' runs, and the unadapted model, answered to the test images.

    None where an arm left no predictions, or no image was put to all runs.
    """
    answers = answered(connection, experiment, evaluator)
    labels = answers.runs["arm"]
    of = answers.of(labels.isin([*arms, UNADAPTED]).to_numpy())
    if not of.correct.size or not set(arms) <= set(labels):
        return None
    return Answers(
        correct=of.correct,
        labels=of.classes,
        arm=of.runs["arm"].to_numpy(np.str_),
        n=of.runs["n_used"].to_numpy(np.int64),
        seed=of.runs["seed"].to_numpy(np.int64),
        metric=of.metric,
    )


def _no_ratio(measured: list[_Measured], b: str) -> str:
    scores = [
        f"{what} ({percent(worth.score)} at best, unadapted {percent(worth.unadapted)})"
        for what, worth in measured
    ]
    return sentence(
        f"{b} images do not reliably raise {listed(scores, 'or')} at any n, so there is no "
        "data-equivalence ratio"
    )


def _open_ended(measured: list[_Measured], a: str, b: str) -> str:
    """Return the sentence on intervals that end at neither side within the sizes tried."""
    measures: dict[str, list[str]] = {}
    for what, worth in measured:
        measures.setdefault(_ends(worth), []).append(what)
    ends = [f"{ends} by {listed(names)}" for ends, names in measures.items()]
    return (
        f"The data-equivalence ratio, {b} images to 1 {a} one, cannot be determined from these "
        f"sizes: its 95 % interval is {listed(ends)} ({_covers(measured[0].worth)})."
    )


def _ratios(measured: list[_Measured], a: str, b: str) -> str:
    (what, worth), *others = measured
    first = (
        f"{b} images do best at n = {format_size(worth.n_b)}, with {percent(worth.score)} of "
        f"{what}, which {_reached(worth, a)}: a data-equivalence ratio of {in_words(worth.ratio)} "
        f"{b} images to 1 {a} one ({_interval(worth)}; {_covers(worth)})"
    )
    more = [f"{in_words(worth.ratio)} by {what} ({_interval(worth)})" for what, worth in others]
    return " ".join(map(sentence, [first, *([f"it is {listed(more)}"] if more else [])]))


def _reached(worth: Equivalence, a: str) -> str:
    sign = worth.ratio.sign if worth.ratio else ""
    n_a = format_size(round(worth.n_a if sign else _rounded(worth.n_a)))
    return {
        "": f"about {n_a} {a} ones reach",
        ">=": f"the fewest {a} ones tried, {n_a}, already reach",
        "<": f"not even {n_a} {a} ones reach",
    }[sign]


def _interval(worth: Equivalence) -> str:
    no_gain = f", no gain in {percent(worth.without)} of resamples" if worth.without else ""
    return f"95 % interval {_ends(worth)}{no_gain}"


def _covers(worth: Equivalence) -> str:
    """Return what was resampled for an interval, and what was not."""
    few = ", too few for a test over seeds" if min(worth.seeds) < ENOUGH_SEEDS else ""
    return (
        f"a bootstrap over test images and {seed_count(worth.seeds)}{few}, not over what "
        "validation data chose"
    )


def _ends(worth: Equivalence) -> str:
    return " to ".join(dict.fromkeys([in_words(worth.low), in_words(worth.high)]))


def in_words(ratio: Ratio | None) -> str:
    """Return a ratio to three digits, or the bound on it; ``none`` for no ratio."""
    if ratio is None:
        return "none"
    words = {"": "", ">=": "at least ", "<": "less than "}[ratio.sign]
    return f"{words}{_rounded(ratio.value):.12g}"


def _rounded(value: float) -> float:
    """Return three significant digits; more would be noise."""
    return float(f"{value:.3g}")
