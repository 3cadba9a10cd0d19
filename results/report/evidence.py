"""The runs behind the page's numbers: what its scripts read, and `runs.parquet` beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pandas as pd

from bench.core.json_values import Json
from bench.core.specs import EXECUTION_FIELDS, RunSpec
from bench.planning.command import command_of
from bench.planning.differences import all_settings
from results.conclusions.choices import named
from results.database import queries
from results.experiment import Experiment
from results.settings import CAPACITY

if TYPE_CHECKING:
    from results.database.store import Connection
    from results.drawing.look import Style

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


def curves(means: pd.DataFrame, experiment: Experiment) -> Json:
    """Return an experiment's means, column by column, and what was published; all in per cent."""
    return {
        "published": list(_published(experiment, means)),
        "label": means["label"].tolist(),
        "source": means["source"].tolist(),
        "evaluator": means["evaluator"].tolist(),
        "metric": means["metric"].tolist(),
        "n": means["n_used"].tolist(),
        "kept": means["n_kept"].tolist(),
        "seeds": means["seeds"].tolist(),
        **{name: [_percent(value) for value in means[column]] for name, column in _SHARES.items()},
    }


def _published(experiment: Experiment, means: pd.DataFrame) -> Iterator[Json]:
    """Yield the values that the experiment's scaling figure shows as hollow marks."""
    # Matplotlib takes a second to import; whoever only asks for help need not wait for it.
    from results.drawing.look import STYLES
    from results.figures.scaling import published_marks

    for (evaluator, source, n, value), where in published_marks(experiment, means):
        look = _look(STYLES[source])
        yield {
            "evaluator": evaluator, "source": source, "n": n, "mean": value, "where": where,
            "look": look,
        }  # fmt: skip


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
    from results.drawing.look import styles

    arms = zip(means["label"], means["source"], strict=True)
    return {label: _look(style) for label, style in styles(list(arms)).items()}


def _look(style: Style) -> list[str]:
    from results.drawing.inline import VARIABLES

    return [f"var(--{VARIABLES[style.colour]}, {style.colour})", style.marker]


def runs(connection: Connection, experiment: Experiment, selected: pd.DataFrame) -> list[Json]:
    """Return what is known of each selected run of an experiment.

    Args:
        connection: The database.
        experiment: Whose runs.
        selected: Its `results.database.queries.selected_runs`.
    """
    specs = queries.specs(connection, experiment)
    apart = _apart(selected, specs)
    return [
        _run(str(run_id), scores, specs[str(run_id)]) | {"apart": apart[str(run_id)]}
        for run_id, scores in selected.groupby("run_id", sort=False)
    ]


def _apart(selected: pd.DataFrame, specs: Mapping[str, RunSpec]) -> dict[str, list[str]]:
    """Return each run's settings that some run of another arm at its n has not, by its id."""
    runs = selected.drop_duplicates("run_id")
    apart: dict[str, list[str]] = {}
    for _, group in runs.groupby("n_point"):
        labels = dict(zip(group["run_id"], group["label"], strict=True))
        written = {run_id: _written(specs[run_id]) for run_id in labels}
        for run_id, label in labels.items():
            others = [written[other] for other in labels if labels[other] != label]
            apart[run_id] = [
                one for one in written[run_id] if any(one not in other for other in others)
            ]
    return apart


def _written(spec: RunSpec) -> dict[str, None]:
    """Return the settings of a run that change its result, each as ``--set`` writes it."""
    settings = {
        name: value
        for name, value in all_settings(spec).items()
        if name.removeprefix("train.") not in EXECUTION_FIELDS
        and name.removeprefix("source.") not in CAPACITY
    }
    return {
        named(msgspec.json.encode({name: value}).decode()): None for name, value in settings.items()
    }


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
            row["evaluator"]: [_percent(row[column]) for column in _OF_RUN]
            for row in scores.to_dict("records")
        },
    }


_OF_RUN = ("validation", "test", "trained_test", "last_test")


def _parsed(text: object) -> Json:
    return dict(msgspec.json.decode(text)) if isinstance(text, str) and text != "null" else {}


def _percent(share: float | None) -> float | None:
    return None if share is None or pd.isna(share) else round(100 * share, 2)


def run_ids(selected: pd.DataFrame) -> dict[str, list[str]]:
    """Return the ids of the runs behind each label and n, for a page that holds no more of them."""
    runs = selected.drop_duplicates("run_id")
    groups = runs.groupby(["label", "n_point"], sort=False)["run_id"]
    return {f"{label}\n{n}": list(ids) for (label, n), ids in groups}


def with_commands(
    connection: Connection, experiment: Experiment, selected: pd.DataFrame
) -> pd.DataFrame:
    """Return runs' scores with the command that repeats each run, empty where there is none.

    Without the history of every epoch, which takes kilobytes a run.
    """
    commands = {
        run_id: command_of(spec) for run_id, spec in queries.specs(connection, experiment).items()
    }
    return selected.drop(columns="selection").assign(command=selected["run_id"].map(commands))


def as_parquet(selected: pd.DataFrame) -> bytes:
    """Return runs' scores, a row a score, as a Parquet file; the same twice."""
    content = io.BytesIO()
    selected.to_parquet(content, index=False)
    return content.getvalue()
