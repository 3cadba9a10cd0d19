"""What stands behind the scores: what validation data chose, and what made the runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from results.conclusions.choices import named
from results.database import queries
from results.database.rows import parse_json
from results.labels import UNADAPTED
from results.tables.sheet import Kind, Sheet, label

if TYPE_CHECKING:
    from results.database.store import Connection
    from results.experiment import Experiment

_SETTINGS: list[tuple[str, Kind]] = [
    ("images", "text"), ("n", "right"), ("setting", "prose"), ("chosen", "text"),
    ("by", "text"), ("validation %", "number"), ("over", "right"), ("run in", "right"),
]  # fmt: skip

_SELECTION_NOTE = (
    "Validation: the mean score of the evaluator that selects, over so many n and seeds as all "
    "settings finished that were compared. Run in: how many of the n and seeds that the arm was "
    "asked for. Test data chose nothing."
)

_PROVENANCE: list[tuple[str, Kind]] = [
    ("runs", "right"), ("commit", "text"), ("device", "text"), ("weights", "text"),
    ("versions", "prose"), ("first", "text"), ("last", "text"),
]  # fmt: skip


def selection(connection: Connection, experiment: Experiment) -> tuple[pd.DataFrame, Sheet]:
    """Return every setting of an experiment's arms and how it fared: as numbers, and as text."""
    settings = queries.settings(connection, experiment)
    fields = experiment._asdict()
    numbers = settings.assign(**fields)[[*fields, *settings.columns]]
    rows = [
        [
            "unadapted" if row["label"] == UNADAPTED else row["label"],
            row["n"] or "all",
            named(str(row["setting"])) or "as the preset",
            "yes" if row["is_chosen"] else "",
            row["select_by"],
            "" if pd.isna(row["validation"]) else f"{100 * row['validation']:.1f}",
            row["cells_compared"],
            f"{row['cells_answered']} of {row['cells_asked']}",
        ]
        for row in settings.to_dict("records")
    ]
    sheet = Sheet.of(f"{experiment.title}: settings, compared on validation data", _SETTINGS, rows)
    return numbers, sheet._replace(note=_SELECTION_NOTE, label=label(*experiment, "settings"))


def provenance(connection: Connection) -> tuple[pd.DataFrame, Sheet]:
    """Return which code, weights and machine made how many finished runs: as is, and as text."""
    numbers = queries.provenance(connection)
    rows = [list(_origin(row)) for row in numbers.to_dict("records")]
    sheet = Sheet.of("Provenance of the finished runs", _PROVENANCE, rows)
    return numbers, sheet._replace(
        note="A commit with + had uncommitted changes. Weights: beginning of their SHA-256.",
        label="provenance",
    )


def _origin(row: dict[object, object]) -> Iterator[str]:
    """Yield the cells of `_PROVENANCE`."""
    versions = parse_json(row["versions"])
    yield str(row["runs"])
    yield (str(row["git_commit"])[:10] or "unknown") + ("+" if row["git_dirty"] is True else "")
    yield str(row["device"]) or "unknown"
    yield str(row["weights"])[:12] or "unknown"
    yield ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    yield str(row["first"])[:10]
    yield str(row["last"])[:10]
