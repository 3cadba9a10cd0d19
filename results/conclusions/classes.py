"""Which classes adaptation helped and which it harmed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pandas as pd

from bench.core.errors import RequestError
from bench.core.size import format_size
from bench.tasks import find_task
from results.database import queries
from results.experiment import Experiment
from results.labels import UNADAPTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from results.database.store import Connection

SHOWN = 3
"""Classes named at either end."""


def gains(connection: Connection, experiment: Experiment, evaluator: str) -> pd.DataFrame:
    """Return each class's gain over the unadapted model, per arm at its largest n.

    Returns:
        Rows of ``arm``, ``n_used``, ``class`` (an index), ``images``, ``accuracy`` and ``gain``, a
        difference of shares; empty where either side left no predictions.
    """
    accuracies = queries.class_accuracies(connection, experiment, evaluator)
    before = accuracies[accuracies["arm"] == UNADAPTED].set_index("class")["accuracy"]
    adapted = accuracies[accuracies["arm"] != UNADAPTED]
    largest = adapted.groupby("arm")["n_used"].transform("max")
    after = adapted[(adapted["n_used"] == largest) & adapted["class"].isin(before.index)]
    return after.assign(gain=after["accuracy"] - after["class"].map(before))


def sentences(
    connection: Connection, experiment: Experiment, evaluators: Iterable[str]
) -> list[str]:
    """Return the classes that gained and lost most, a sentence per arm and evaluator.

    Evaluators that say the same of an arm, as ``zero-shot`` and ``per-class`` do, share one.
    """
    names = class_names(queries.task_place(connection, experiment.task))
    by_text: dict[tuple[str, str], list[str]] = defaultdict(list)
    for evaluator in evaluators:
        for arm, rows in gains(connection, experiment, evaluator).groupby("arm"):
            images = f"{arm} images, n = {format_size(int(rows['n_used'].iloc[0]))}"
            gained, lost = (_extremes(rows, names, gained=gained) for gained in (True, False))
            by_text[images, f"{gained}; {lost}"].append(evaluator)
    return [f"{images}, {', '.join(same)}: {text}." for (images, text), same in by_text.items()]


def _extremes(gains: pd.DataFrame, names: dict[int, str], *, gained: bool) -> str:
    sign = 1 if gained else -1
    order = ["gain", "class"]
    some = gains[sign * gains["gain"] > 0].sort_values(order, ascending=[not gained, True])
    verb = "gained" if gained else "lost"
    if some.empty:
        return f"no class {verb}"
    shown = ", ".join(
        f"{names.get(index, f'class {index}')} {100 * gain:+.1f} (of {images} images)"
        for index, gain, images in some[["class", "gain", "images"]].head(SHOWN).to_numpy(object)
    )
    return f"{len(some)} of {len(gains)} classes {verb}, most of all {shown}"


def class_names(task: str) -> dict[int, str]:
    """Return the names by index; none if the task is not to be found here: records travel."""
    try:
        return dict(enumerate(find_task(task).class_names))
    except RequestError:
        return {}
