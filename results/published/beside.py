"""Published numbers that stand beside curves of the preset `paper`, each with its source."""

from functools import cache
from pathlib import Path

import msgspec
import yaml

from bench.core.config import Config
from results.experiment import Experiment

_FILE = Path(__file__).with_suffix(".yaml")


class Value(Config, frozen=True, kw_only=True):
    """One published number, in per cent."""

    task: str
    evaluator: str
    source: str
    n: int
    value: float


class Published(Config, frozen=True, kw_only=True):
    """Numbers of one model from one place.

    Attributes:
        model: What was measured, in words.
        of: What the model is called here.
        objective: What it was adapted with; empty where nothing was adapted.
        metric: What the numbers are of.
        where: The place, as `docs/references.md` cites.
        note: What a reader should know besides.
        values: The numbers.
    """

    model: str
    of: list[str]
    objective: str = ""
    metric: str
    where: str
    note: str = ""
    values: list[Value]


def published(experiment: Experiment, *metrics: str) -> list[tuple[Published, Value]]:
    """Return the published numbers on an experiment's task that were measured as it was.

    None unless its preset is ``paper``, and its model, objective and one of its metrics are theirs.
    """
    if experiment.preset != "paper":
        return []
    return [
        (group, value)
        for group in _groups()
        for value in group.values
        if value.task == experiment.task
        and experiment.model in group.of
        and group.objective in ("", experiment.objective)
        and group.metric in metrics
    ]


def every_value() -> list[Value]:
    """Return all numbers that may stand beside a curve of their task."""
    return [value for group in _groups() for value in group.values]


@cache
def _groups() -> list[Published]:
    return msgspec.convert(yaml.safe_load(_FILE.read_text("utf-8")), list[Published])
