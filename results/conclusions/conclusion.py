"""What a study found: which arm is better, by how much, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bench.core.size import format_size
from results.conclusions.certainty import NEEDED, certainty, every_seed_agrees, sign
from results.conclusions.exchange import exchange
from results.conclusions.unadapted import against_unadapted, at_trained_epoch
from results.database import queries
from results.experiment import Experiment
from results.fidelity import at_chance
from results.labels import UNADAPTED, in_order
from results.pairs import Difference, Pair, differences
from results.wording import grouped, listed, measure, number, points, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from results.database.store import Connection

_OTHER_ARMS = (
    "There are neither retrieved nor synthetic images to compare; the differences between other "
    "arms are in the table of differences."
)

_IN_FULL = 3
"""Evaluators, but the first, whose intervals a sentence can hold; those of more are in a table."""

_NO_FIDELITY = (
    " The generator shows no class fidelity, so this says nothing about generated images in"
    " general."
)


class _Comparison(NamedTuple):
    """Two arms by one evaluator, at the largest n that it evaluated both at."""

    evaluator: str
    metric: str
    n: int
    difference: Difference

    @property
    def measure(self) -> str:
        """What the evaluator measures."""
        return measure(self.evaluator, self.metric)

    @property
    def sign(self) -> int:
        """Which arm is better: 1 for the first, -1 for the second, 0 without significance."""
        return sign(self.difference)

    @property
    def tested(self) -> bool:
        """Whether another seed of both arms is expected to say the same."""
        return self.difference.estimate.over_seeds


@dataclass
class _Findings:
    """Sentences on all pairs of arms, and whether all headlines were tested over seeds."""

    headlines: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    ratios: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    tested: bool = True


def conclusions(
    connection: Connection, experiment: Experiment, *, brief: bool = False
) -> list[str]:
    """Return what came out, the most important first.

    Which images are better at one n, by the linear probe, which is the headline, then by all other
    evaluators; how each arm compares to the unadapted model; how many images of one are worth how
    many of the other; what was not compared, and why; and what a test over seeds takes.

    Args:
        connection: The database.
        experiment: What to conclude about.
        brief: Whether to leave out all but the headline and what a test over seeds takes.
    """
    means = queries.scaling(connection, experiment)
    unchanged = _unchanged(connection, experiment)
    if unchanged and unchanged == set(means["label"]) - {UNADAPTED}:
        trained = at_trained_epoch(connection, experiment, means)
        return [_nothing_changed(experiment, unchanged), *trained]
    known = differences(connection, experiment)
    findings = _Findings()
    for arms in _arms(means, findings):
        findings.gaps += _not_compared(means, arms)
        if not unchanged >= set(arms):  # Else both are the unadapted model.
            comparisons = list(_comparisons(known, means, arms))
            _compare(experiment, comparisons, arms, findings)
            evaluators = [comparison.evaluator for comparison in comparisons]
            findings.gaps += _without_predictions(comparisons, means, arms)
            findings.ratios += exchange(connection, experiment, evaluators, arms)
    caveat = at_chance(queries.fidelity(connection, experiment), experiment.task)
    if findings.headlines and caveat:
        findings.headlines[-1] += _NO_FIDELITY
    needed = [] if findings.tested else [NEEDED]
    if brief and findings.headlines:
        return [*findings.headlines, *needed]
    found = [
        *findings.headlines,
        *findings.others,
        *against_unadapted(known, means, unchanged),
        *at_trained_epoch(connection, experiment, means),
        *dict.fromkeys(findings.ratios),
        *dict.fromkeys(findings.gaps),
        *needed,
    ]
    return found or ([_OTHER_ARMS] if known else [])


def left_out(connection: Connection, experiment: Experiment) -> str:
    """Return the sentence on runs that are no part of the results; empty where there are none."""
    count = queries.count_outdated(connection, experiment)
    if not count:
        return ""
    runs = "1 finished run is" if count == 1 else f"{count} finished runs are"
    return (
        f"{runs} left out, of another version of {experiment.task} or of "
        f"{PurePath(experiment.model).name}'s weights than the latest run."
    )


def _arms(means: pd.DataFrame, findings: _Findings) -> list[tuple[str, str]]:
    """Return the pairs of arms to compare; never models that two evaluators selected."""
    select_by = dict(zip(means["label"], means["select_by"], strict=True))
    pairs = list(product(_labels(means, "retrieved"), _labels(means, "synthetic")))
    alike = [
        arms for arms in pairs if len({select_by[arm] for arm in arms if arm in select_by}) < 2
    ]
    if not alike:
        a, b = pairs[0]
        findings.gaps.append(f"No evaluator selected both {a} and {b} images: not compared.")
    return alike


def _labels(means: pd.DataFrame, source: str) -> list[str]:
    return sorted(set(means.loc[means["source"] == source, "label"])) or [source]


def _unchanged(connection: Connection, experiment: Experiment) -> set[str]:
    """Return the labels of which validation chose epoch 0, the unadapted model, in every run."""
    runs = queries.selected_runs(connection, experiment)
    adapted = runs[runs["label"] != UNADAPTED]
    return set(adapted["label"]) - set(adapted.loc[adapted["epoch"].ne(0), "label"])


def _nothing_changed(experiment: Experiment, labels: set[str]) -> str:
    return sentence(
        f"on {experiment.task}, validation chose the unadapted model in every run of "
        f"{listed(sorted(labels))} images, so there is nothing to compare"
    )


def _compare(
    experiment: Experiment,
    comparisons: list[_Comparison],
    arms: tuple[str, str],
    findings: _Findings,
) -> None:
    """Add what comes out between two arms at one n."""
    if comparisons:
        first, *others = comparisons
        findings.headlines.append(_headline(first, experiment, arms))
        findings.others += _by_others(others, first.n, arms)
        findings.tested &= first.tested


def _evaluated_both(
    means: pd.DataFrame, arms: tuple[str, str]
) -> Iterator[tuple[str, pd.DataFrame, int | None]]:
    """Yield each evaluator of both arms, its mean scores and the largest n that they share."""
    for evaluator in in_order(means["evaluator"]):
        rows = means[means["evaluator"] == evaluator]
        if set(arms) <= set(rows["label"]):
            used = rows.groupby("label")["n_used"].agg(set)
            yield evaluator, rows, max(set.intersection(*used[list(arms)]), default=None)


def _comparisons(
    known: dict[Pair, Difference], means: pd.DataFrame, arms: tuple[str, str]
) -> Iterator[_Comparison]:
    """Yield the comparison by each evaluator, at the largest n at which it can be made."""
    for evaluator, rows, _ in _evaluated_both(means, arms):
        sizes = [pair.n for pair in known if pair == Pair(evaluator, pair.n, *arms)]
        if sizes:
            difference = known[Pair(evaluator, max(sizes), *arms)]
            yield _Comparison(evaluator, rows["metric"].iloc[0], max(sizes), difference)


def _not_compared(means: pd.DataFrame, arms: tuple[str, str]) -> Iterator[str]:
    """Yield a sentence per reason why evaluators of an arm do not compare the two."""
    evaluators = {arm: set(means.loc[means["label"] == arm, "evaluator"]) for arm in arms}
    present = [arm for arm in arms if evaluators[arm]]
    if len(present) < len(arms):
        missing = [arm for arm in arms if present and arm not in present]
        yield from (f"There are no results of {arm} images to compare with." for arm in missing)
        return
    a, b = (evaluators[arm] for arm in arms)
    apart = [evaluator for evaluator, _, n in _evaluated_both(means, arms) if n is None]
    for names, reason in (
        (b - a, f"{arms[0]} images were not evaluated by"),
        (a - b, f"{arms[1]} images were not evaluated by"),
        (apart, f"{listed(arms)} images were not evaluated at the same n by"),
    ):
        if names:
            yield sentence(f"{reason} {listed(in_order(names))}")


def _without_predictions(
    comparisons: list[_Comparison], means: pd.DataFrame, arms: tuple[str, str]
) -> Iterator[str]:
    """Yield a sentence on each n with scores of both arms, but not with the answers of both."""
    compared = {comparison.evaluator: comparison.n for comparison in comparisons}
    lacking: dict[str, list[str]] = {}
    for name, _, n in _evaluated_both(means, arms):
        if n is not None and n != compared.get(name):
            where = f" at n = {format_size(n)}" if name in compared else ""
            lacking.setdefault(where, []).append(name)
    for where, names in lacking.items():
        yield sentence(
            f"{listed(arms)} images cannot be compared{where} by {listed(names)}, as runs left no "
            "predictions that can be read"
        )


def _headline(comparison: _Comparison, experiment: Experiment, arms: tuple[str, str]) -> str:
    where = f"On {experiment.task} at n = {format_size(comparison.n)}"
    difference, sign = comparison.difference, comparison.sign
    value = difference.estimate.value
    sure = certainty(difference, difference.seeds, sign or 1, each=True)
    if not sign:
        return (
            f"{where}, there is no significant difference between {listed(arms)} images: "
            f"{points(value)} of {comparison.measure} for {arms[0]} ones ({sure})."
        )
    better, worse = arms[::sign]
    gap = f"{number(abs(value))} points"
    agreed = every_seed_agrees(difference, sign)
    doubt = "" if agreed else " on average, but not at every seed"
    if comparison.tested:
        won = f"{better} images beat {worse} ones by {gap} of {comparison.measure}"
    else:
        won = f"{better} images score {gap} higher than {worse} ones in {comparison.measure}"
    return f"{where}, {won}{doubt} ({sure})."


def _by_others(comparisons: list[_Comparison], n: int, arms: tuple[str, str]) -> list[str]:
    """Return the sentences on all evaluators but the first, whose n is given, as one text."""
    clauses, in_full = [], len(comparisons) <= _IN_FULL
    for comparison in comparisons:
        difference, sign = comparison.difference, comparison.sign
        value = difference.estimate.value
        if sign:
            verb = "are better" if comparison.tested else "score higher"
            lead = f"{arms[::sign][0]} images {verb} in"
        else:
            lead = "there is no significant difference in"
        gap = f"{number(abs(value))} points" if sign else points(value)
        whose = "" if sign else f"{arms[0]} images "
        at = "" if comparison.n == n else f"at n = {format_size(comparison.n)}, "
        agreed = not sign or every_seed_agrees(difference, sign)
        doubt = "" if agreed else ", not at every seed"
        sure = f", {certainty(difference, difference.seeds, sign or 1)}" if in_full else ""
        clauses.append((lead, f"{comparison.measure} ({at}{whose}{gap}{doubt}{sure})"))
    return [" ".join(map(sentence, grouped(clauses)))] if clauses else []
