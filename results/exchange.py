"""How many images of one arm are worth how many of the other, as sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from bench.core.size import format_size
from results import queries
from results.equivalence import Equivalence, Ratio, equivalence
from results.queries import Experiment
from results.wording import judged, listed, percent, seed_count, sentence

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class _Found(NamedTuple):
    """What one evaluator's curves say; `what` is the evaluator and its metric."""

    what: str
    worth: Equivalence


def exchange(
    connection: DuckDBPyConnection,
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
    worth: list[_Found] = []
    open_ended: list[_Found] = []
    nothing: list[_Found] = []
    for evaluator in evaluators:
        answers = queries.scaling_answers(connection, experiment, evaluator, a=a, b=b)
        found = equivalence(answers, a, b) if answers else None
        if answers and found is not None:
            one = _Found(judged(evaluator, answers.metric), found)
            if found.low is None or found.high is None:
                nothing.append(one)
            elif (found.low.sign, found.high.sign) == ("<", ">="):
                open_ended.append(one)
            else:
                worth.append(one)
    return [
        *([_ratios(worth, a, b)] if worth else []),
        *([_open_ended(open_ended, a, b)] if open_ended else []),
        *([_no_ratio(nothing, b)] if nothing else []),
    ]


def _no_ratio(found: list[_Found], b: str) -> str:
    scores = [
        f"{what} ({percent(worth.score)} at best, unadapted {percent(worth.unadapted)})"
        for what, worth in found
    ]
    return sentence(
        f"{b} images at no n reliably raise {listed(scores, 'or')}, so there is no "
        "data-equivalence ratio"
    )


def _open_ended(found: list[_Found], a: str, b: str) -> str:
    """Return the sentence on intervals that end at neither side within the sizes tried."""
    names: dict[str, list[str]] = {}
    for what, worth in found:
        names.setdefault(_ends(worth), []).append(what)
    ends = (f"{span} by {listed(own)}" for span, own in names.items())
    return (
        f"The data-equivalence ratio, {b} images to 1 {a} one, cannot be told from these sizes: "
        f"its 95 % interval is {'; '.join(ends)}."
    )


def _ratios(found: list[_Found], a: str, b: str) -> str:
    (what, worth), *others = found
    begun = (
        f"{b} images do best at n = {format_size(worth.n_b)}, with {percent(worth.score)} of "
        f"{what}, which {_reached(worth, a)}: a data-equivalence ratio of {_spelt(worth.ratio)} "
        f"{b} images to 1 {a} one ({_interval(worth)}, over test images and "
        f"{seed_count(worth.seeds)})"
    )
    also = (f"by {name} it is {_spelt(one.ratio)} ({_interval(one)})" for name, one in others)
    return sentence("; ".join([begun, *also]))


def _reached(worth: Equivalence, a: str) -> str:
    sign = worth.ratio.sign if worth.ratio else ""
    n_a = format_size(round(worth.n_a if sign else _rounded(worth.n_a)))
    return {
        "": f"about {n_a} {a} ones reach",
        ">=": f"the fewest {a} ones tried, {n_a}, already reach",
        "<": f"not even {n_a} {a} ones reach",
    }[sign]


def _interval(worth: Equivalence) -> str:
    lost = f", nothing gained in {percent(worth.without)} of draws" if worth.without else ""
    return f"95 % interval {_ends(worth)}{lost}"


def _ends(worth: Equivalence) -> str:
    return " to ".join(dict.fromkeys([_spelt(worth.low), _spelt(worth.high)]))


def _spelt(ratio: Ratio | None) -> str:
    if ratio is None:
        return "none"
    words = {"": "", ">=": "at least ", "<": "less than "}[ratio.sign]
    return f"{words}{_rounded(ratio.value):.12g}"


def _rounded(value: float) -> float:
    """Return three significant digits; more would be noise."""
    return float(f"{value:.3g}")
