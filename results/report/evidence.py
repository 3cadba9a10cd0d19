"""The runs behind the page's numbers: what its scripts read, and `runs.parquet` beside it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pandas as pd

from bench.core.json_values import Json
from bench.core.specs import RunSpec
from bench.planning.command import command_of
from results.conclusions.choices import named
from results.database import queries
from results.experiment import Experiment

if TYPE_CHECKING:
    from results.database.store import Connection

MOST_ROWS = 500
"""Scores of single runs that the page holds itself; with more, they are in a file beside it."""


class Point(NamedTuple):
    """What a number of the page stands for: an arm, an n and an evaluator of an experiment."""

    label: str
    n: int
    evaluator: str


def points(means: pd.DataFrame) -> list[Point]:
    """Return the points of an experiment's means, in their order."""
    columns = means[["label", "n_used", "evaluator"]].itertuples(index=False)
    return [Point(str(label), int(n), str(evaluator)) for label, n, evaluator in columns]


def curves(means: pd.DataFrame) -> dict[str, list[Any]]:
    """Return an experiment's means, column by column; scores in per cent."""
    return {
        "label": means["label"].tolist(),
        "source": means["source"].tolist(),
        "evaluator": means["evaluator"].tolist(),
        "n": means["n_used"].tolist(),
        "kept": means["n_kept"].tolist(),
        "seeds": means["seeds"].tolist(),
        **{name: [_percent(value) for value in means[column]] for name, column in _SHARES.items()},
    }


_SHARES = {
    "mean": "mean",
    "low": "test_low",
    "high": "test_high",
    "least": "seed_min",
    "most": "seed_max",
    "trained": "trained_mean",
}


def looks(means: pd.DataFrame) -> dict[str, list[str]]:
    """Return each arm's colour, as a CSS value, and marker: those of its figures."""
    # Matplotlib takes a second to import; whoever only asks for help need not wait for it.
    from results.drawing.inline import VARIABLES
    from results.drawing.look import styles

    arms = zip(means["label"], means["source"], strict=True)
    return {
        label: [f"var(--{VARIABLES[style.colour]}, {style.colour})", style.marker]
        for label, style in styles(list(arms)).items()
    }


def runs(connection: Connection, experiment: Experiment, selected: pd.DataFrame) -> list[Json]:
    """Return what is known of each selected run of an experiment.

    Args:
        connection: The database.
        experiment: Whose runs.
        selected: Its `results.database.queries.selected_runs`.
    """
    specs = queries.specs(connection, experiment)
    return [
        _run(str(run_id), scores, specs[str(run_id)])
        for run_id, scores in selected.groupby("run_id", sort=False)
    ]


def _run(run_id: str, scores: pd.DataFrame, spec: RunSpec) -> Json:
    first = scores.iloc[0]
    selection = _parsed(first["selection"])
    history = selection.get("history", [])
    return {
        "id": run_id,
        "label": first["label"],
        "n": int(first["n_point"]),
        "used": int(first["n_used"]),
        "seed": int(first["seed"]),
        "setting": named(first["setting"]),
        "epoch": selection.get("epoch"),
        "by": first["select_by"],
        "curve": [_percent(epoch.get("score")) for epoch in history],
        "seconds": {name: round(value, 1) for name, value in _parsed(first["timings"]).items()},
        "images": first["image_set"],
        "device": first["device"],
        "command": command_of(spec),
        "scores": {
            row["evaluator"]: [_percent(row["validation"]), _percent(row["test"])]
            for row in scores.to_dict("records")
        },
    }


def _parsed(text: object) -> Json:
    return dict(msgspec.json.decode(text)) if isinstance(text, str) and text != "null" else {}


def _percent(share: float | None) -> float | None:
    return None if share is None or pd.isna(share) else round(100 * share, 2)


def run_ids(selected: pd.DataFrame) -> dict[str, list[str]]:
    """Return the ids of the runs behind each label and n, for a page that holds no more of them."""
    runs = selected.drop_duplicates("run_id")
    groups = runs.groupby(["label", "n_point"], sort=False)["run_id"]
    return {f"{label}\n{n}": list(ids) for (label, n), ids in groups}


def as_parquet(selected: pd.DataFrame) -> bytes:
    """Return runs' scores, a row a score, as a Parquet file; the same twice."""
    content = io.BytesIO()
    selected.drop(columns=["selection"]).to_parquet(content, index=False)
    return content.getvalue()
