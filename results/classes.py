"""Which classes adaptation helped and which it harmed, against the unadapted model."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pandas as pd

from bench.core.errors import RequestError
from bench.core.size import format_size
from bench.tasks import find_task
from results import queries
from results.equivalence import UNADAPTED
from results.queries import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duckdb import DuckDBPyConnection

SHOWN = 3
"""Classes named at either end."""


def gains(connection: DuckDBPyConnection, experiment: Experiment, evaluator: str) -> pd.DataFrame:
    """Return each class's gain over the unadapted model, per arm at its largest n.

    Returns:
        Rows of ``arm``, ``n_used``, ``class`` (an index), ``images``, ``accuracy`` and ``gain``, a
        difference of shares; empty where either side left no predictions.
    """
    found = queries.class_accuracies(connection, experiment, evaluator)
    before = found[found["arm"] == UNADAPTED].set_index("class")["accuracy"]
    arms = found[found["arm"] != UNADAPTED]
    largest = arms.groupby("arm")["n_used"].transform("max")
    own = arms[(arms["n_used"] == largest) & arms["class"].isin(before.index)]
    return own.assign(gain=own["accuracy"] - own["class"].map(before))


def sentences(
    connection: DuckDBPyConnection, experiment: Experiment, evaluators: Iterable[str]
) -> list[str]:
    """Return the classes that gained and lost most, a sentence per arm and evaluator.

    Evaluators that say the same of an arm, as ``zero-shot`` and ``per-class`` do, share one.
    """
    names = _class_names(experiment)
    said: dict[tuple[str, str], list[str]] = defaultdict(list)
    for evaluator in evaluators:
        for arm, own in gains(connection, experiment, evaluator).groupby("arm"):
            images = f"{arm} images, n = {format_size(int(own['n_used'].iloc[0]))}"
            gained, lost = (_extremes(own, names, gained=gained) for gained in (True, False))
            said[images, f"{gained}; {lost}"].append(evaluator)
    return [f"{images}, {', '.join(own)}: {found}." for (images, found), own in said.items()]


def _extremes(own: pd.DataFrame, names: dict[int, str], *, gained: bool) -> str:
    sign = 1 if gained else -1
    some = own[sign * own["gain"] > 0].sort_values(["gain", "class"], ascending=[not gained, True])
    verb = "gained" if gained else "lost"
    if some.empty:
        return f"no class {verb}"
    listed = ", ".join(
        f"{names.get(index, f'class {index}')} {100 * gain:+.1f} (of {images} images)"
        for index, gain, images in some[["class", "gain", "images"]].head(SHOWN).to_numpy(object)
    )
    return f"{len(some)} of {len(own)} classes {verb}, most of all {listed}"


def _class_names(experiment: Experiment) -> dict[int, str]:
    """Return the names by index; none, if the task is not to be found here: records travel."""
    try:
        return dict(enumerate(find_task(experiment.task).class_names))
    except RequestError:
        return {}
