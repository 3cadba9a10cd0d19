"""The experiments in which two arms meet."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.core.errors import RequestError, unknown_name
from bench.core.paths import Home
from results.comparisons.arms import compare_arms, label_of
from results.comparisons.comparison import Comparison
from results.database import queries, store

if TYPE_CHECKING:
    from results.database.store import Choice, Connection
    from results.experiment import Experiment


class Found(NamedTuple):
    """What there is of two names.

    Attributes:
        comparisons: One an experiment that has both arms; none where neither name is an arm's.
        labels: The arms that there are.
        skipped: A line for each file that was left out.
    """

    comparisons: list[Comparison]
    labels: list[str]
    skipped: list[str]


def compared(
    home: Home, a: str, b: str, wanted: dict[str, str], settings: Choice = "once"
) -> Found:
    """Return the comparisons of two arms.

    Args:
        home: Where the records are.
        a: A label such as ``retrieved``.
        b: Another.
        wanted: Which experiments to look at: fields of `results.experiment.Experiment` to values;
            an objective is meant with all its options.
        settings: How often the setting of an arm is chosen.

    Raises:
        RequestError: If one name or a value is unknown, or no experiment has both arms.
    """
    with tempfile.TemporaryDirectory() as spare:
        collected = store.collect(home, settings, Path(spare))
        with collected.reading() as connection:
            labels = _labels(connection)
            arms = [label_of(name) for name in (a, b)]
            known = sorted(set().union(*labels.values()))
            strangers = [name for name, arm in zip((a, b), arms, strict=True) if arm not in known]
            found = [] if strangers else _of_arms(connection, labels, arms, wanted)
    if len(strangers) == 1:
        raise unknown_name("arm", strangers[0], known)
    return Found(found, known, collected.skipped)


def _labels(connection: Connection) -> dict[Experiment, set[str]]:
    """Return every experiment with the labels that it has scores of."""
    return {
        experiment: set(queries.scaling(connection, experiment)["label"])
        for experiment in queries.experiments(connection)
    }


def _of_arms(
    connection: Connection,
    labels: dict[Experiment, set[str]],
    arms: list[str],
    wanted: dict[str, str],
) -> list[Comparison]:
    a, b = arms
    if a == b:
        raise RequestError(f"{a} and {b} are one arm", "name two")
    experiments = list(labels)
    for field, value in wanted.items():
        names = {getattr(experiment, field) for experiment in experiments}
        matching = {name for name in names if name == value or name.startswith(f"{value} ")}
        if not matching:
            raise unknown_name(field, value, names)
        experiments = [each for each in experiments if getattr(each, field) in matching]
    both = [experiment for experiment in experiments if {a, b} <= labels[experiment]]
    if not both:
        there = "; ".join(
            f"{experiment.title} has {', '.join(sorted(labels[experiment]))}"
            for experiment in experiments
        )
        raise RequestError(f"no experiment has both {a} and {b}", there)
    return [compare_arms(connection, experiment, a, b) for experiment in both]
