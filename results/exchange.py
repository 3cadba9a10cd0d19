"""How many images of one arm are worth how many of the other, as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bench.size import format_size
from results import queries
from results.equivalence import Equivalence, Ratio, equivalence
from results.queries import Experiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def exchange(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    means: pd.DataFrame,
    arms: tuple[str, str],
) -> str:
    """Return the sentence on how many images are worth how many; empty where there are no curves.

    Args:
        connection: The database.
        experiment: What the figure is about.
        means: Rows of `results.queries.scaling`, of one evaluator.
        arms: The labels that are exchanged; the second one's images are worth some of the first's.
    """
    a, b = arms
    evaluator, metric = means["evaluator"].iloc[0], means["metric"].iloc[0]
    answers = queries.scaling_answers(connection, experiment, evaluator, a=a, b=b)
    found = equivalence(answers, a, b) if answers else None
    if found is None:
        return ""
    if found.score <= found.unadapted:
        return (
            f"On {experiment.task}, {b} images at no n raise {evaluator} {metric} above the "
            f"unadapted model's {100 * found.unadapted:.1f} %: they bought nothing that {a} ones "
            "could be equivalent to, so there is no data-equivalence ratio."
        )
    reach = (
        f"On {experiment.task}, {b} images do best at n = {format_size(found.n_b)}, with "
        f"{100 * found.score:.1f} % of {evaluator} {metric}"
    )
    return f"{reach}, {_worth(found, a)}"


def _worth(found: Equivalence, a: str) -> str:
    over = f"over test images and {seed_count(found.seeds)}"
    lost = f"they bought nothing in {100 * found.without:.1f} % of bootstrap draws"
    if found.ratio is None or found.low is None or found.high is None:
        return (
            f"not reliably more than the unadapted model's {100 * found.unadapted:.1f} %: {lost} "
            f"({over}), so there is no data-equivalence ratio."
        )
    n_a = format_size(round(found.n_a if found.ratio.sign else _rounded(found.n_a)))
    reached = {
        "": f"which about {n_a} {a} ones reach",
        ">=": f"which the fewest {a} ones tried, {n_a}, already reach",
        "<": f"which not even {n_a} {a} ones reach",
    }[found.ratio.sign]
    ends = " to ".join(dict.fromkeys([_spelt(found.low), _spelt(found.high)]))
    rest = f"; {lost}" if found.without else ""
    ratio = f"a data-equivalence ratio of {_spelt(found.ratio)}"
    return f"{reached}: {ratio} (95 % interval {ends}, {over}{rest})."


def _spelt(ratio: Ratio) -> str:
    return f"{ratio.sign} {_rounded(ratio.value):.12g}".strip()


def _rounded(value: float) -> float:
    """Return three significant digits; more would be noise."""
    return float(f"{value:.3g}")


def seed_count(seeds: tuple[int, int]) -> str:
    """Return how many seeds two arms have, in words."""
    fewest, most = sorted(seeds)
    count = f"{most}" if fewest == most else f"{fewest} and {most}"
    return f"{count} seed{'s' if most > 1 else ''}"
