"""What a study found, as one plain sentence with an interval; it says what came out."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pandas as pd

from bench.size import format_size
from results import queries
from results.fidelity import at_chance
from results.queries import Difference, Experiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HEADLINE = "linear-probe"
_NO_FIDELITY = (
    " The generator shows no class fidelity, so this says nothing about generated images in"
    " general."
)


def conclusions(connection: DuckDBPyConnection, experiment: Experiment) -> list[str]:
    """Return one sentence per evaluator on each kind of retrieved against synthetic images.

    The linear probe's comes first: it is the headline.
    """
    means = queries.scaling(connection, experiment)
    fidelity = queries.fidelity(connection, experiment)
    caveat = _NO_FIDELITY if at_chance(fidelity, experiment.task) else ""
    evaluators = sorted(set(means["evaluator"]), key=lambda name: (name != _HEADLINE, name))
    return [
        _conclude(connection, experiment, means[means["evaluator"] == name], arms) + caveat
        for name in evaluators
        for arms in product(_labels(means, "retrieved"), _labels(means, "synthetic"))
    ]


def _labels(means: pd.DataFrame, source: str) -> list[str]:
    return sorted(set(means.loc[means["source"] == source, "label"])) or [source]


def _conclude(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    means: pd.DataFrame,
    arms: tuple[str, str],
) -> str:
    """Return the sentence about two labels and one evaluator, whose mean scores are given."""
    evaluator, metric = means["evaluator"].iloc[0], means["metric"].iloc[0]
    n = _largest_common_n(means, arms)
    if n is None:
        return (
            f"On {experiment.task}, {' and '.join(arms)} images were not tried at the same n, "
            f"so {evaluator} {metric} does not say which are better."
        )
    where = f"On {experiment.task} at n = {format_size(n)}"
    a, b = arms
    found = queries.paired_difference(connection, experiment, evaluator, n, a=a, b=b)
    if found is None:
        return f"{where}, {evaluator} {metric} cannot be compared: an arm left no predictions."
    return _sentence(found, where, f"{evaluator} {metric}", arms)


def _largest_common_n(means: pd.DataFrame, arms: tuple[str, str]) -> int | None:
    used = means.groupby("label")["n_used"].agg(set)
    common = set.intersection(*(used.get(arm, set()) for arm in arms))
    return max(common, default=None)


def _sentence(found: Difference, where: str, what: str, arms: tuple[str, str]) -> str:
    estimate = found.estimate
    if estimate.low <= 0 <= estimate.high:
        return (
            f"{where}, {' and '.join(arms)} images show no difference that this study could "
            f"tell: {arms[0]} ones are {100 * estimate.value:+.1f} points of {what} away "
            f"({_evidence(found, 1)})."
        )
    sign = 1 if estimate.value > 0 else -1
    better, worse = arms[::sign]
    return (
        f"{where}, {better} images beat {worse} ones by {100 * abs(estimate.value):.1f} points "
        f"of {what} ({_evidence(found, sign)})."
    )


def _evidence(found: Difference, sign: int) -> str:
    """Return the interval, the seeds and the p-value; a sign of -1 is for synthetic - retrieved."""
    low, high = sorted(100 * sign * end for end in (found.estimate.low, found.estimate.high))
    fewest, most = sorted(found.seeds)
    count = f"{most}" if fewest == most else f"{fewest} and {most}"
    seeds = f"{count} seed{'s' if most > 1 else ''}"
    by_seed = [100 * sign * difference for difference in found.seed_differences]
    if len(by_seed) > 1:
        seeds += f" from {min(by_seed):.1f} to {max(by_seed):.1f}"
    return f"95 % interval {low:.1f} to {high:.1f}, {seeds}; p = {found.estimate.p:.3f}"
