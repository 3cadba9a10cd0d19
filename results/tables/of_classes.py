"""Scores apart for classes that had images in training and for those that had none."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.core.size import format_size
from results.database import queries
from results.digits import decimals
from results.labels import in_order
from results.tables.sheet import Kind, Sheet, label
from results.wording import metric_name

if TYPE_CHECKING:
    from results.database.store import Connection
    from results.experiment import Experiment

_COLUMNS: list[tuple[str, Kind]] = [
    ("images", "text"), ("n", "right"), ("evaluator", "text"), ("seeds", "right"),
    ("classes unseen", "right"),
    ("seen %", "number"), ("seen, 95 % interval", "text"), ("seen images", "right"),
    ("unseen %", "number"), ("unseen, 95 % interval", "text"), ("unseen images", "right"),
]  # fmt: skip

NOTE = (
    "Seen: test images of classes that had images in training; unseen: of classes that had none. "
    "All are classified among all classes. Where images have several labels, the mean is over such "
    "classes, and all images are ranked. Means over seeds, which may lack different classes; with "
    "the most test images of a seed. Unseen classes may be harder or easier than seen ones to any "
    "model. Runs that had images of every class are left out."
)


def of_classes(connection: Connection, experiment: Experiment) -> tuple[pd.DataFrame, Sheet]:
    """Return an experiment's scores on seen and unseen classes: as numbers, and as text."""
    parts = queries.scores_of_classes(connection, experiment)
    places = {name: place for place, name in enumerate(in_order(parts["evaluator"]))}
    parts = parts.sort_values(
        ["label", "n_used", "evaluator"],
        key=lambda values: values.map(places) if values.name == "evaluator" else values,
    )
    fields = experiment._asdict()
    numbers = parts.assign(**fields)[[*fields, *parts.columns]]
    metric = next(iter(parts["metric"]), "")
    title = f"{experiment.title}: {metric_name(metric)} of classes seen and unseen in training"
    sheet = Sheet.of(title, _COLUMNS, [_row(row) for row in parts.to_dict("records")])
    return numbers, sheet._replace(note=NOTE, label=label(*experiment, "classes"))


def _row(row: dict[Hashable, Any]) -> list[str]:
    unseen = dict.fromkeys((row["fewest_unseen"], row["most_unseen"]))
    return [
        str(row["label"]),
        format_size(int(row["n_used"])),
        str(row["evaluator"]),
        str(row["seeds"]),
        " to ".join(map(str, unseen)),
        *_part(row, "seen"),
        *_part(row, "unseen"),
    ]


def _part(row: dict[Hashable, Any], name: str) -> list[str]:
    """Return score, interval and test images of a part; nothing where no test image is in it."""
    if pd.isna(row[name]):
        return ["", "", ""]
    low, high = 100 * row[f"{name}_low"], 100 * row[f"{name}_high"]
    digits = decimals([(high - low) / 2])
    interval = f"[{low:.{digits}f}, {high:.{digits}f}]"
    return [f"{100 * row[name]:.{digits}f}", interval, str(int(row[f"{name}_images"]))]
