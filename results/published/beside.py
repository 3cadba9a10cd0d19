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
    """Numbers of one model from one place."""

    model: str
    where: str
    note: str = ""
    values: list[Value]


def published(experiment: Experiment) -> list[tuple[Published, Value]]:
    """Return the published numbers on an experiment's task, all of adapted CLIPs.

    None unless its preset is ``paper``; none beside a network from scratch.
    """
    if experiment.preset != "paper" or experiment.from_scratch:
        return []
    return [
        (group, value)
        for group in _groups()
        for value in group.values
        if value.task == experiment.task
    ]


def every_value() -> list[Value]:
    """Return all numbers that may stand beside a curve of their task."""
    return [value for group in _groups() for value in group.values]


@cache
def _groups() -> list[Published]:
    return msgspec.convert(yaml.safe_load(_FILE.read_text("utf-8")), list[Published])
