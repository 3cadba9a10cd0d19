"""What validation data chose: by which evaluator, which settings, and out of how many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.core.size import format_size
from results.database import queries
from results.database.rows import parse_json
from results.experiment import Experiment
from results.labels import UNADAPTED
from results.wording import listed, measure, percent, sentence, written

if TYPE_CHECKING:
    from results.database.store import Connection


def choices(connection: Connection, experiment: Experiment) -> list[str]:
    """Return who chose, the setting of each arm that had several, and by how many arms differ.

    Args:
        connection: The database.
        experiment: Whose arms; those without a score are left out.
    """
    means = queries.scaling(connection, experiment)
    labels = set(means["label"]) - {UNADAPTED}
    settings = queries.settings(connection, experiment)
    settings = settings[settings["label"].isin(labels)]
    if settings.empty:
        return []
    metrics = dict(zip(means["evaluator"], means["metric"], strict=True))
    return [
        _who_chose(settings, queries.settings_rule(connection)),
        *(_of_arm(str(label), rows, metrics) for label, rows in _tuned(settings)),
        *_unequal(settings),
    ]


def named(setting: str) -> str:
    """Return a setting as ``--set`` writes it, given its JSON."""
    return " ".join(f"{name}={written(value)}" for name, value in parse_json(setting).items())


def _who_chose(settings: pd.DataFrame, rule: str) -> str:
    once = "once for all n" if rule == "once" else "at each n"
    by = sorted(set(settings["select_by"]))
    return (
        f"On validation data, {listed(by)} chose the epoch of every run and, {once} and over all "
        "seeds, the setting of every arm; one choice serves all evaluators."
    )


def _tuned(settings: pd.DataFrame) -> Iterator[tuple[object, pd.DataFrame]]:
    for label, rows in settings.groupby("label"):
        if rows["setting"].nunique() > 1:
            yield label, rows


def _of_arm(label: str, rows: pd.DataFrame, metrics: Mapping[str, str]) -> str:
    """Return the sentence on an arm's choice, or on its choices at each n or by each protocol."""
    several = rows["selector"].nunique() > 1
    texts = [
        f"{f'selected by {selector}, ' if several else ''}{_chosen(group, metrics)}"
        for (selector, _), group in rows.groupby(["selector", "n"], sort=False)
    ]
    return sentence(f"{label} images: {'; '.join(texts)}")


def _chosen(rows: pd.DataFrame, metrics: Mapping[str, str]) -> str:
    """Return what was chosen of the settings that an arm has, at one n or for all."""
    (chosen,) = rows[rows["is_chosen"]].to_dict("records")
    at = f"at n = {_size(chosen['n'])}, " if chosen["n"] else ""
    incomplete = len(rows) - chosen["candidates"]
    left_out = f", {incomplete} left out as not run everywhere" if incomplete else ""
    settings = "setting" if chosen["candidates"] == 1 else "settings"
    out_of = f"of {chosen['candidates']} {settings}{left_out}"
    equal = int((rows["competes"] & (rows["validation"] == chosen["validation"])).sum())
    why = _why(chosen, metrics) + (f"; the first by name of {equal} equal ones" * (equal > 1))
    return f"{at}{named(str(chosen['setting'])) or 'nothing set'}, {out_of} ({why})"


def _why(chosen: dict[Any, Any], metrics: Mapping[str, str]) -> str:
    if not chosen["cells_compared"] or pd.isna(chosen["validation"]):
        return "they have no run in common, so the first by name"
    asked, answered = chosen["cells_asked"], chosen["cells_answered"]
    partly = "" if answered == asked else f"; none was run at all {asked} n and seeds"
    runs = "1 run" if chosen["cells_compared"] == 1 else f"{chosen['cells_compared']} runs each"
    by = str(chosen["select_by"])
    measured = measure(by, _metric_of(by, metrics))
    mean = f"{measured} on validation data {percent(chosen['validation'])}"
    return f"mean {mean} over {runs}{partly}"


def _metric_of(selector: str, metrics: Mapping[str, str]) -> str:
    """Return the metric of the evaluator that selects, which may be scored in parts."""
    for label, metric in metrics.items():
        name = label.partition(" ")[0]
        if name == selector or name.startswith(f"{selector}-"):
            return metric
    return next(iter(metrics.values()))


def _unequal(settings: pd.DataFrame) -> list[str]:
    """Return the sentences on arms that had more settings to choose from than others.

    At one n, where settings are chosen at each: arms that were not run there had no choice.
    """
    texts = []
    for n, rows in sorted(settings.groupby("n"), key=lambda group: _place(str(group[0]))):
        counts = rows.groupby("label")["candidates"].max()
        if counts.nunique() > 1:
            at = f"At n = {_size(str(n))}, arms" if n else "Arms"
            gap = counts.max() - counts.min()
            most = listed([f"{count} for {label} images" for label, count in counts.items()])
            texts.append(f"{at} differ by up to {gap} in how many settings were compared: {most}.")
    return texts


def _place(n: str) -> float:
    return float(n) if n.isdecimal() else math.inf


def _size(n: str) -> str:
    return n if n == "all" else format_size(int(n))
