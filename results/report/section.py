"""What the page says of one experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.core.json_values import Json
from bench.core.paths import Home
from results import pairs
from results.conclusions import classes
from results.conclusions.choices import choices, named
from results.conclusions.conclusion import conclusions, left_out
from results.conclusions.seeds import what_seeds_varied
from results.database import queries
from results.experiment import Experiment
from results.fidelity import caution, describe
from results.labels import in_order
from results.published import published
from results.report import evidence, figures
from results.report.image_sets import audits, without_images
from results.report.overview import overview
from results.report.scores import scores
from results.tables.of_classes import of_classes

if TYPE_CHECKING:
    from results.database.store import Connection


@dataclass(frozen=True)
class Section:
    """An experiment's part of the page.

    Attributes:
        shown: What the template shows.
        curves: Its means for the scripts; empty without scores.
        looks: The arms' colours and markers for the scripts; empty without scores.
        runs: Its selected runs, a row a score; empty without scores.
    """

    shown: dict[str, Any]
    curves: Json
    looks: Json
    runs: pd.DataFrame


def section(home: Home, connection: Connection, experiment: Experiment, name: str) -> Section:
    """Return what the page says of an experiment.

    Args:
        home: Where records and images are.
        connection: The database.
        experiment: What it is about.
        name: What its anchors begin with.
    """
    means = queries.scaling(connection, experiment)
    head = {
        "name": name,
        "title": experiment.title,
        "left_out": left_out(connection, experiment),
        "image_sets": audits(home, queries.image_sets(connection, experiment)),
    }
    if means.empty:
        return Section(head, {}, {}, pd.DataFrame())
    runs = queries.selected_runs(connection, experiment)
    evaluators = in_order(runs["evaluator"])
    known = pairs.differences(connection, experiment)
    fidelity = queries.fidelity(connection, experiment)
    shown = {
        "conclusions": conclusions(connection, experiment),
        "overview": overview(connection, experiment, means, known),
        "scores": scores(means),
        "figures": list(figures.shown(home, connection, experiment, in_order(means["evaluator"]))),
        "seeds": what_seeds_varied(runs),
        "choices": choices(connection, experiment),
        "settings": _settings(connection, experiment),
        "differences": pairs.readable(pairs.pair_table(connection, experiment)),
        "classes": classes.sentences(connection, experiment, evaluators),
        "caution": caution(fidelity, experiment.preset, experiment.task),
        "fidelity": describe(fidelity, experiment.task),
        "published": published(experiment, *set(means["metric"])),
        "image_counts": records(queries.image_counts(connection, experiment)),
        "empty_classes": without_images(queries.empty_classes(connection, experiment)),
        "of_classes": of_classes(connection, experiment)[1],
        "small_groups": records(queries.small_groups(connection, experiment)),
        "missing_runs": records(queries.missing_runs(connection, experiment)),
        "runs": records(runs),
    }
    return Section(head | shown, evidence.curves(means, experiment), evidence.looks(means), runs)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows, each by its columns' names."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _settings(connection: Connection, experiment: Experiment) -> list[dict[str, Any]]:
    """Return every setting of the arms that had several."""
    settings = queries.settings(connection, experiment)
    several = settings.groupby("label")["setting"].transform("nunique") > 1
    return records(settings.assign(setting=settings["setting"].map(named))[several])
