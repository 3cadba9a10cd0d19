"""The page's table of scores, whose numbers open the runs behind them."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import pandas as pd

from bench.core.size import format_size
from results.labels import UNADAPTED, in_order
from results.report.evidence import Point, points
from results.wording import measure


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: What it shows.
        value: What it is sorted by; none for its text.
        point: Which of the experiment's points its runs belong to; none for no runs.
    """

    text: str
    value: float | None = None
    point: int | None = None


class Scores(NamedTuple):
    """A table of scores."""

    head: list[str]
    rows: list[list[Cell]]


_EMPTY = Cell("")


def scores(means: pd.DataFrame) -> Scores:
    """Return a table of an experiment's means: a row an arm and n, three columns an evaluator."""
    places = {point: place for place, point in enumerate(points(means))}
    rows = dict(zip(places, means.to_dict("records"), strict=True))
    evaluators = in_order(means["evaluator"])
    # Records of earlier versions have the chosen epoch alone.
    others = {"best trained": "trained_mean", "last": "last_mean"}
    if not means["last_mean"].notna().any():
        others = {}
    metrics = dict(zip(means["evaluator"], means["metric"], strict=True))
    head = ["source", "n used", "seeds"]
    for name in evaluators:
        head += [measure(name, metrics[name]), *(f"{name}, {other}" for other in others)]
    lines = []
    for label, n in dict.fromkeys((point.label, point.n) for point in places):
        found = {name: rows.get(Point(label, n, name)) for name in evaluators}
        known = [row for row in found.values() if row is not None]
        most = max(row["seeds"] for row in known)
        line = [Cell(_shown(label)), Cell(_used(known), n), Cell(str(most), most)]
        for name, row in found.items():
            point = places.get(Point(label, n, name))
            line.append(_cell(row, most, point))
            line += [_mean(row[column], point) if row else _EMPTY for column in others.values()]
        lines.append(line)
    return Scores(head, lines)


def _shown(label: str) -> str:
    return "unadapted" if label == UNADAPTED else label


def _used(rows: list[dict[Hashable, Any]]) -> str:
    ends = (min(row["n_used_min"] for row in rows), max(row["n_used_max"] for row in rows))
    return " to ".join(map(format_size, dict.fromkeys(ends)))


def _cell(row: dict[Hashable, Any] | None, most: int, point: int | None) -> Cell:
    if row is None:
        return _EMPTY
    columns = ("mean", "seed_std", "test_low", "test_high")
    mean, spread, low, high = (f"{100 * row[column]:.1f}" for column in columns)
    spread = f" ± {spread}" if row["seeds"] > 1 else ""
    fewer = f" (seeds: {row['seeds']})" if row["seeds"] < most else ""
    return Cell(f"{mean}{spread} [{low}, {high}]{fewer}", row["mean"], point)


def _mean(share: float, point: int | None) -> Cell:
    return _EMPTY if math.isnan(share) else Cell(f"{100 * share:.1f}", share, point)
