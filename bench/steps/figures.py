"""Published figures of unadapted models, to check an installation and a checkpoint against."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bench.core.config import Config, parse_config
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.yaml_files import read_yaml

PUBLISHED = Path(__file__).with_name("figures.yaml")

Metric = Literal[
    "accuracy",
    "mean-per-class",
    "mean-average-precision",
    "mean-average-precision-11",
    "mean-average-precision-plain",
]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Points = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]


class Figure(Config, frozen=True, kw_only=True):
    """A score of an unadapted model on a task's test split, as somebody published it."""

    model: str
    """Name or folder of its weights."""
    task: str
    """The task's name or folder."""
    evaluator: str
    options: Json = {}
    """The evaluator's options; its defaults where none are given."""
    metric: Metric
    percent: Percent
    """The published value."""
    tolerance: Points
    """Percentage points that a value may be off."""
    source: str
    """Where it was published."""


class _File(Config, frozen=True, kw_only=True):
    figures: Annotated[list[Json], msgspec.Meta(min_length=1)]


def read_figures(file: Path = PUBLISHED) -> Sequence[Figure]:
    """Return the figures of a YAML file, in its order.

    Raises:
        RequestError: If the file cannot be read, or a figure is not complete; it says which one.
    """
    listed = parse_config(_File, read_yaml(file), str(file)).figures
    figures = [
        parse_config(Figure, values, f"{file}: figures[{index}]")
        for index, values in enumerate(listed)
    ]
    if len(set(map(msgspec.json.encode, figures))) < len(figures):
        raise RequestError(f"{file} lists a figure twice", "remove one of them")
    return figures
