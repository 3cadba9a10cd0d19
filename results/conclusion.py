"""What a study found, as plain sentences with intervals; they say what came out."""

from __future__ import annotations

from itertools import product
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bench.core.size import format_size
from results import queries
from results.baseline import against_unadapted
from results.equivalence import UNADAPTED
from results.exchange import exchange
from results.fidelity import at_chance
from results.mcnemar import spelt_p
from results.protocols import in_order
from results.queries import Difference, Experiment
from results.wording import (
    agrees,
    grouped,
    interval,
    judged,
    listed,
    number,
    points,
    seed_count,
    sentence,
    sign_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

_NO_FIDELITY = (
    " The generator shows no class fidelity, so this says nothing about generated images in"
    " general."
)

_ENOUGH_SEEDS = 5
"""With fewer, nothing is said of how another seed would come out."""


class _Judged(NamedTuple):
    """Two arms by one evaluator, at the largest n that both were judged at."""

    evaluator: str
    metric: str
    n: int
    found: Difference

    @property
    def what(self) -> str:
        """What the evaluator measures."""
        return judged(self.evaluator, self.metric)

    @property
    def sign(self) -> int:
        """Which arm is better: 1 for the first, -1 for the second, 0 where that cannot be told."""
        return sign_of(self.found.estimate.low, self.found.estimate.high)


def conclusions(
    connection: DuckDBPyConnection, experiment: Experiment, *, brief: bool = False
) -> list[str]:
    """Return what came out, the most important first.

    Which images are better at one n, by the linear probe, which is the headline, then by all other
    evaluators; how each arm stands to the unadapted model; how many images of one are worth how
    many of the other; what was not compared, and why; and what the intervals leave out.

    Args:
        connection: The database.
        experiment: What to conclude about.
        brief: Whether to leave out all but the headline and what its interval leaves out.
    """
    means = queries.scaling(connection, experiment)
    unchanged = _unchanged(connection, experiment)
    if unchanged and unchanged == set(means["label"]) - {UNADAPTED}:
        return [_nothing_changed(experiment, unchanged)]
    caveat = at_chance(queries.fidelity(connection, experiment), experiment.task)
    headlines: list[str] = []
    others: list[str] = []
    worth: list[str] = []
    apart: list[str] = []
    seeds: list[int] = []
    for arms in product(_labels(means, "retrieved"), _labels(means, "synthetic")):
        apart += _not_compared(means, arms)
        if unchanged >= set(arms):
            continue  # Both are the unadapted model.
        found = list(_judged_pairs(connection, experiment, means, arms))
        if found:
            headlines.append(_headline(found[0], experiment, arms))
            others += _by_others(found[1:], found[0].n, arms)
            seeds += found[0].found.seeds
        compared = [one.evaluator for one in found]
        apart += _without_predictions(compared, means, arms)
        worth += exchange(connection, experiment, compared, arms)
    if headlines and caveat:
        headlines[-1] += _NO_FIDELITY
    if brief and headlines:
        return [*headlines, *_few_seeds(seeds)]
    return [
        *headlines,
        *others,
        *against_unadapted(connection, experiment, means, unchanged),
        *dict.fromkeys(worth),
        *dict.fromkeys(apart),
        *_few_seeds(seeds),
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


def _unchanged(connection: DuckDBPyConnection, experiment: Experiment) -> set[str]:
    """Return the labels of which validation chose epoch 0, the unadapted model, in every run."""
    runs = queries.selected_runs(connection, experiment)
    adapted = runs[runs["label"] != UNADAPTED]
    return set(adapted["label"]) - set(adapted.loc[adapted["epoch"].ne(0), "label"])


def _nothing_changed(experiment: Experiment, labels: set[str]) -> str:
    return sentence(
        f"on {experiment.task}, validation chose the unadapted model in every run of "
        f"{listed(sorted(labels))} images, so there is nothing to compare"
    )


def _judged_both(means: pd.DataFrame, arms: tuple[str, str]) -> Iterator[pd.DataFrame]:
    """Yield the mean scores of each evaluator by which both arms were judged."""
    for evaluator in in_order(means["evaluator"]):
        own = means[means["evaluator"] == evaluator]
        if set(arms) <= set(own["label"]):
            yield own


def _judged_pairs(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    means: pd.DataFrame,
    arms: tuple[str, str],
) -> Iterator[_Judged]:
    """Yield the comparison by each evaluator for which there is one."""
    a, b = arms
    for own in _judged_both(means, arms):
        evaluator, metric = own["evaluator"].iloc[0], own["metric"].iloc[0]
        n = _largest_common_n(own, arms)
        if n is not None:
            found = queries.paired_difference(connection, experiment, evaluator, n, a=a, b=b)
            if found is not None:
                yield _Judged(evaluator, metric, n, found)


def _largest_common_n(means: pd.DataFrame, arms: tuple[str, str]) -> int | None:
    used = means.groupby("label")["n_used"].agg(set)
    common = set.intersection(*(used.get(arm, set()) for arm in arms))
    return max(common, default=None)


def _not_compared(means: pd.DataFrame, arms: tuple[str, str]) -> Iterator[str]:
    """Yield a sentence per reason why evaluators that judged an arm do not compare the two."""
    judges = {arm: set(means.loc[means["label"] == arm, "evaluator"]) for arm in arms}
    present = [arm for arm in arms if judges[arm]]
    if len(present) < len(arms):
        yield from (
            f"There are no results of {arm} images to compare with."
            for arm in arms
            if present
            if arm not in present
        )
        return
    a, b = (judges[arm] for arm in arms)
    both = {own["evaluator"].iloc[0]: own for own in _judged_both(means, arms)}
    for names, reason in (
        (b - a, f"{arms[0]} images were not judged by"),
        (a - b, f"{arms[1]} images were not judged by"),
        (
            [name for name, own in both.items() if _largest_common_n(own, arms) is None],
            f"{listed(arms)} images were not judged at the same n by",
        ),
    ):
        if names:
            yield sentence(f"{reason} {listed(in_order(names))}")


def _without_predictions(
    compared: list[str], means: pd.DataFrame, arms: tuple[str, str]
) -> Iterator[str]:
    names = [
        own["evaluator"].iloc[0]
        for own in _judged_both(means, arms)
        if _largest_common_n(own, arms) is not None
    ]
    if missing := [name for name in names if name not in compared]:
        yield (
            f"By {listed(missing)}, {listed(arms)} images cannot be compared, as runs left no "
            "predictions."
        )


def _headline(one: _Judged, experiment: Experiment, arms: tuple[str, str]) -> str:
    where = f"On {experiment.task} at n = {format_size(one.n)}"
    found, value, sign = one.found, one.found.estimate.value, one.sign
    if not sign:
        return (
            f"{where}, no difference between {listed(arms)} images can be told: {points(value)} of "
            f"{one.what} for {arms[0]} ones ({_evidence(found, 1)})."
        )
    better, worse = arms[::sign]
    lead = (
        f"{where}, {better} images beat {worse} ones by {number(abs(value))} points of {one.what}"
    )
    doubt = "" if _every_seed_agrees(found, sign) else " on average, but not at every seed"
    return f"{lead}{doubt} ({_evidence(found, sign)})."


def _every_seed_agrees(found: Difference, sign: int) -> bool:
    return all(agrees(difference, sign) for difference in found.seed_differences)


def _evidence(found: Difference, sign: int) -> str:
    """Return interval, p-value and seeds; with a sign of -1, of the second arm less the first."""
    low, high = sorted(sign * end for end in (found.estimate.low, found.estimate.high))
    by_seed = sorted(sign * difference for difference in found.seed_differences)
    seeds = seed_count(found.seeds)
    if len(by_seed) > 1:
        seeds += f", from {number(by_seed[0])} to {number(by_seed[-1])}"
    p = spelt_p([found.estimate.p])
    return f"{interval(low, high)}, p {p if p[0] == '<' else f'= {p}'}; {seeds}"


def _by_others(pairs: list[_Judged], n: int, arms: tuple[str, str]) -> list[str]:
    """Return the one sentence on all evaluators but the first, whose n is given."""
    said = []
    for one in pairs:
        estimate, sign = one.found.estimate, one.sign
        lead = f"{arms[::sign][0]} images are better in" if sign else "no difference can be told in"
        low, high = sorted((sign or 1) * end for end in (estimate.low, estimate.high))
        away = f"{number(abs(estimate.value))} points" if sign else points(estimate.value)
        whose = "" if sign else f"{arms[0]} images "
        at = "" if one.n == n else f"at n = {format_size(one.n)}, "
        doubt = "" if not sign or _every_seed_agrees(one.found, sign) else ", not at every seed"
        said.append((lead, f"{one.what} ({at}{whose}{away}, {interval(low, high)}{doubt})"))
    return [sentence(grouped(said))] if said else []


def _few_seeds(seeds: list[int]) -> list[str]:
    """Return what is to be said where an arm has too few seeds for an interval over them."""
    fewest = min(seeds, default=_ENOUGH_SEEDS)
    if fewest >= _ENOUGH_SEEDS:
        return []
    count = "1 seed is" if fewest == 1 else f"{fewest} seeds are"
    return [f"Intervals cover the choice of test images only; {count} too few for one over seeds."]
