"""What a study found, as plain sentences with intervals; they say what came out."""

from __future__ import annotations

from itertools import product
from pathlib import PurePath
from typing import TYPE_CHECKING

import pandas as pd

from bench.size import format_size
from results import queries
from results.equivalence import UNADAPTED
from results.exchange import exchange, seed_count
from results.fidelity import at_chance
from results.mcnemar import spelt_p
from results.protocols import in_order
from results.queries import Difference, Experiment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

_NO_FIDELITY = (
    " The generator shows no class fidelity, so this says nothing about generated images in"
    " general."
)


def conclusions(connection: DuckDBPyConnection, experiment: Experiment) -> list[str]:
    """Return what each evaluator says of each kind of retrieved against synthetic images.

    First which are better at one n, then what was not compared and why, then how many of one are
    worth how many of the other. The linear probe's sentence comes first: it is the headline.
    """
    means = queries.scaling(connection, experiment)
    fidelity = queries.fidelity(connection, experiment)
    caveat = _NO_FIDELITY if at_chance(fidelity, experiment.task) else ""
    unchanged = _unchanged(connection, experiment)
    better: list[str] = []
    apart: list[str] = []
    worth: list[str] = []
    for arms in product(_labels(means, "retrieved"), _labels(means, "synthetic")):
        apart += _not_compared(experiment, means, arms)
        if unchanged >= set(arms):
            continue  # Both are the unadapted model.
        for own in _judged_both(means, arms):
            better.append(_conclude(connection, experiment, own, arms))
            worth.append(exchange(connection, experiment, own, arms))
    better += _said_unchanged(experiment, unchanged)
    return [
        *(sentence + caveat for sentence in better if sentence),
        *dict.fromkeys(apart),
        *(sentence + caveat for sentence in worth if sentence),
    ]


def left_out(connection: DuckDBPyConnection, experiment: Experiment) -> str:
    """Return the sentence on runs that are no part of the results; empty where there are none."""
    count = queries.outdated(connection, experiment)
    if not count:
        return ""
    runs = "1 finished run is" if count == 1 else f"{count} finished runs are"
    return (
        f"{runs} left out, of another version of {experiment.task} or of "
        f"{PurePath(experiment.model).name}'s weights than the latest run."
    )


def _labels(means: pd.DataFrame, source: str) -> list[str]:
    return sorted(set(means.loc[means["source"] == source, "label"])) or [source]


def _judged_both(means: pd.DataFrame, arms: tuple[str, str]) -> Iterator[pd.DataFrame]:
    """Yield the mean scores of each evaluator by which both arms were judged."""
    for evaluator in in_order(means["evaluator"]):
        own = means[means["evaluator"] == evaluator]
        if set(arms) <= set(own["label"]):
            yield own


def _not_compared(
    experiment: Experiment, means: pd.DataFrame, arms: tuple[str, str]
) -> Iterator[str]:
    """Yield a sentence per reason why evaluators that judged an arm do not compare the two."""
    a, b = (set(means.loc[means["label"] == arm, "evaluator"]) for arm in arms)
    both = {own["evaluator"].iloc[0]: own for own in _judged_both(means, arms)}
    for names, reason in (
        (b - a, f"{arms[0]} images were not judged by"),
        (a - b, f"{arms[1]} images were not judged by"),
        (
            [name for name, own in both.items() if _largest_common_n(own, arms) is None],
            f"{' and '.join(arms)} images were not judged at the same n by",
        ),
    ):
        if names:
            yield f"On {experiment.task}, {reason} {', '.join(in_order(names))}."


def _unchanged(connection: DuckDBPyConnection, experiment: Experiment) -> set[str]:
    """Return the labels of which validation chose epoch 0, the unadapted model, in every run."""
    runs = queries.selected_runs(connection, experiment)
    adapted = runs[runs["label"] != UNADAPTED]
    return set(adapted["label"]) - set(adapted.loc[adapted["epoch"].ne(0), "label"])


def _said_unchanged(experiment: Experiment, labels: set[str]) -> list[str]:
    if not labels:
        return []
    *others, last = sorted(labels)
    arms = f"{', '.join(others)} and {last}" if others else last
    return [
        f"On {experiment.task}, validation chose the unadapted model in every run of {arms} images."
    ]


def _conclude(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    means: pd.DataFrame,
    arms: tuple[str, str],
) -> str:
    """Return the sentence about two labels and one evaluator, whose mean scores are given.

    It is empty where they have no n in common.
    """
    evaluator, metric = means["evaluator"].iloc[0], means["metric"].iloc[0]
    n = _largest_common_n(means, arms)
    if n is None:
        return ""
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
    lead = (
        f"{where}, {better} images beat {worse} ones by {100 * abs(estimate.value):.1f} points "
        f"of {what}"
    )
    if any(sign * difference <= 0 for difference in found.seed_differences):
        return f"{lead} on average, but not at every seed: {_evidence(found, sign)}."
    return f"{lead} ({_evidence(found, sign)})."


def _evidence(found: Difference, sign: int) -> str:
    """Return the interval, the seeds and the p-value; a sign of -1 is for synthetic - retrieved."""
    low, high = sorted(100 * sign * end for end in (found.estimate.low, found.estimate.high))
    seeds = seed_count(found.seeds)
    by_seed = [100 * sign * difference for difference in found.seed_differences]
    if len(by_seed) > 1:
        seeds += f" from {min(by_seed):.1f} to {max(by_seed):.1f}"
    p = f"p = {found.estimate.p:.3f}"
    if found.mcnemar:
        p += f", McNemar's {spelt_p(found.mcnemar)}"
    return f"95 % interval {low:.1f} to {high:.1f}, {seeds}; {p}"
