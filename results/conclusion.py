"""What a study found, as plain sentences with intervals; they say what came out."""

from __future__ import annotations

from itertools import product
from pathlib import PurePath
from typing import TYPE_CHECKING

import pandas as pd

from bench.size import format_size
from results import queries
from results.equivalence import Equivalence, Ratio, equivalence
from results.fidelity import at_chance
from results.mcnemar import spelt_p
from results.queries import Difference, Experiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HEADLINE = "linear-probe"
_NO_FIDELITY = (
    " The generator shows no class fidelity, so this says nothing about generated images in"
    " general."
)


def conclusions(connection: DuckDBPyConnection, experiment: Experiment) -> list[str]:
    """Return what each evaluator says of each kind of retrieved against synthetic images.

    First which are better at one n, then how many of one are worth how many of the other. The
    linear probe's sentence comes first: it is the headline.
    """
    means = queries.scaling(connection, experiment)
    fidelity = queries.fidelity(connection, experiment)
    caveat = _NO_FIDELITY if at_chance(fidelity, experiment.task) else ""
    evaluators = sorted(
        set(means["evaluator"]), key=lambda name: (name.split()[0] != _HEADLINE, name)
    )
    pairs = [
        (means[means["evaluator"] == name], arms)
        for name in evaluators
        for arms in product(_labels(means, "retrieved"), _labels(means, "synthetic"))
    ]
    better = [_conclude(connection, experiment, own, arms) for own, arms in pairs]
    worth = [_exchange(connection, experiment, own, arms) for own, arms in pairs]
    return [sentence + caveat for sentence in [*better, *worth] if sentence]


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
    seeds = _count(found.seeds)
    by_seed = [100 * sign * difference for difference in found.seed_differences]
    if len(by_seed) > 1:
        seeds += f" from {min(by_seed):.1f} to {max(by_seed):.1f}"
    p = f"p = {found.estimate.p:.3f}"
    if found.mcnemar:
        p += f", McNemar's {spelt_p(found.mcnemar)}"
    return f"95 % interval {low:.1f} to {high:.1f}, {seeds}; {p}"


def _exchange(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    means: pd.DataFrame,
    arms: tuple[str, str],
) -> str:
    """Return the sentence on how many images are worth how many; empty where there are no curves.

    The means are those of one evaluator, as in `_conclude`.
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
    over = f"over test images and {_count(found.seeds)}"
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


def _count(seeds: tuple[int, int]) -> str:
    fewest, most = sorted(seeds)
    count = f"{most}" if fewest == most else f"{fewest} and {most}"
    return f"{count} seed{'s' if most > 1 else ''}"
