"""Studies: a YAML file that expands to runs (docs/studies.md).

    name: mini-aircraft
    preset: mini
    settings: {train.epochs: 10}              # for every run
    per_source:
      synthetic: {source.size: 1000}          # for the runs of one source
    per_objective:
      simclr: {objective.temperature: 0.2}    # for the runs of one objective
    grid:
      - product: {task: aircraft, source: [retrieved, synthetic], n: [125, 250], seed: [0, 1]}
      - product: {task: aircraft, source: retrieved, seed: [0, 1]}
        zip: {n: [500, 1k], train.lr: [1.0e-3, 3.0e-3]}

In a block, the names ``task``, ``source``, ``n`` and ``seed`` mean what they mean to ``bench
run``; any other name is a setting such as ``train.lr``. Equal specs collapse to one run.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from bench.core.config import Config, parse_assignment, parse_config
from bench.core.errors import RequestError, unknown_name
from bench.core.json_values import Json, digest
from bench.core.memo import memo_scope
from bench.core.size import parse_size
from bench.core.specs import RunSpec
from bench.core.yaml_files import read_yaml
from bench.planning.objective_settings import check_objectives, fitting
from bench.planning.preset import load, objective_name, resolve
from bench.planning.source_settings import PREFIX, require_known

MAX_RUNS = 1_000_000
"""Runs that a study may have; equal ones are counted as often as they are written."""

_NEEDED = ("task", "source", "n")
_AXES = (*_NEEDED, "seed")

_Factor = list[Json]
"""Alternatives, each some axes with a value; a block's points combine one of every factor."""


class Block(Config, frozen=True, kw_only=True):
    """A block of a study's grid: axis name to values; a single value needs no list."""

    product: Json = {}
    """Axes of which every combination of values is taken."""
    zip: Json = {}
    """Axes of equal length, taken in step; their steps are combined with those of `product`."""


class StudyFile(Config, frozen=True, kw_only=True):
    """The content of a study file."""

    name: str
    preset: str
    description: str = ""
    settings: Json = {}
    per_source: dict[str, Json] = {}
    per_objective: dict[str, Json] = {}
    grid: list[Block]


class Study(StudyFile, frozen=True, kw_only=True):
    """A study with its file, and the settings that override it."""

    file: str
    overrides: list[tuple[str, Any]] = []


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file.

    Args:
        path: The file.
        overrides: Assignments such as ``train.nodes=2``, for every run; those of sources and of
            objectives, such as ``source.filter.tau=0.2``, for all that have them.

    Raises:
        RequestError: If it is absent or malformed.
    """
    content = parse_config(StudyFile, {"name": path.stem, **read_yaml(path)}, str(path))
    if not content.grid:
        raise RequestError(f"{path}: the grid is empty", "add a block, docs/studies.md shows one")
    settings = [parse_assignment(text) for text in overrides]
    return Study(file=str(path), overrides=settings, **msgspec.structs.asdict(content))


def expand(study: Study) -> list[RunSpec]:
    """Return a study's runs, each once, in the order of the file.

    Raises:
        RequestError: If a block or a run is malformed, or there are more than `MAX_RUNS`. The
            message names the file and the block.
    """
    blocks = {
        f"{study.file}, block {number}": block for number, block in enumerate(study.grid, start=1)
    }
    factors = {where: _factors(block, where) for where, block in blocks.items()}
    count = sum(prod(map(len, of_block)) for of_block in factors.values())
    if count > MAX_RUNS:
        raise RequestError(f"{study.file} has {count} runs", f"a study has at most {MAX_RUNS:,}")
    _check_sources(study, factors.values())
    expansion = _Expansion(study)
    with memo_scope():
        for where, of_block in factors.items():
            for point in _points(of_block):
                expansion.add(point, where)
    require_known(expansion.common, expansion.variants, study.file)
    check_objectives(study.per_objective, expansion.overrides, expansion.variants, study.file)
    return list(expansion.specs.values())


class _Expansion:
    """The runs so far; those that differ only in n and seed are resolved once."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self.overrides, self.common = _split(study.overrides)
        self._variants: dict[str, tuple[str, RunSpec]] = {}
        self.specs: dict[tuple[str, int | None, int], RunSpec] = {}

    @property
    def variants(self) -> list[RunSpec]:
        """One run of each setting."""
        return [variant for _, variant in self._variants.values()]

    def add(self, point: Json, where: str) -> None:
        """Add the run at a point, unless an equal one is there."""
        n, seed = point.pop("n"), point.pop("seed", 0)
        # Unlike JSON, it tells all values apart that YAML has.
        text = repr(point)
        if text not in self._variants:
            variant = self._resolve(point, where)
            self._variants[text] = digest(variant, 64), variant
        key, variant = self._variants[text]
        if variant.source == "none":
            n = 0
        if (key, n, seed) not in self.specs:
            self.specs[key, n, seed] = msgspec.structs.replace(variant, n=n, seed=seed)

    def _resolve(self, point: Json, where: str) -> RunSpec:
        study, task, source = self._study, point.pop("task"), point.pop("source")
        try:
            settings = self._settings(source, point)
            names = {"task": task, "source": source, "n": None}
            return resolve(study.preset, **names, settings=settings, common=self.common)
        except RequestError as error:
            raise RequestError(f"{where}: {error.what}", error.fix) from error

    def _settings(self, source: str, point: Json) -> list[tuple[str, object]]:
        """Return all settings of a point; of a mapping and a name within it, the later one wins."""
        study = self._study
        usual = [*study.settings.items(), *study.per_source.get(source, {}).items()]
        named = [*usual, *point.items(), *self.overrides]
        objective = objective_name(load(study.preset), named)
        of_objective = study.per_objective.get(objective, {}).items()
        return [*usual, *of_objective, *point.items(), *fitting(objective, self.overrides)]


def _split(overrides: list[tuple[str, Any]]) -> tuple[list[tuple[str, Any]], Json]:
    """Return the overrides of runs, and those of sources by their path below ``source``."""
    common: Json = {}
    others = []
    for path, value in overrides:
        if path == PREFIX.rstrip(".") and isinstance(value, dict):
            common |= value
        elif path.startswith(PREFIX):
            common[path.removeprefix(PREFIX)] = value
        else:
            others.append((path, value))
    return others, common


def _points(factors: list[_Factor]) -> Iterator[Json]:
    for parts in product(*factors):
        point: Json = {}
        for part in parts:
            point.update(part)
        yield point


def _factors(block: Block, where: str) -> list[_Factor]:
    """Return the factors whose combinations are a block's runs.

    Raises:
        RequestError: If the block is malformed.
    """
    if twice := block.product.keys() & block.zip.keys():
        raise RequestError(f"{where}: {min(twice)} is in `product` and in `zip`")
    given = block.product | block.zip
    axes = {name: _values(name, values, where) for name, values in given.items()}
    if missing := [name for name in _NEEDED if name not in axes]:
        raise RequestError(f"{where} has no {', '.join(missing)}")
    factors = [[{name: value} for value in axes[name]] for name in block.product]
    if block.zip:
        lengths = {name: len(axes[name]) for name in block.zip}
        if len(set(lengths.values())) > 1:
            text = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise RequestError(f"{where}: the lists under `zip` differ in length: {text}")
        steps = zip(*(axes[name] for name in block.zip), strict=True)
        factors.append([dict(zip(block.zip, step, strict=True)) for step in steps])
    return factors


def _values(name: str, given: object, where: str) -> list[Any]:
    """Return the values of an axis; raise RequestError if one cannot be a value of it."""
    values = given if isinstance(given, list) else [given]
    if not values:
        raise RequestError(f"{where}: the list of {name} is empty", "leave the block out")
    try:
        return [_value(name, value) for value in values]
    except RequestError as error:
        raise RequestError(f"{where}: {name}: {error.what}", error.fix) from error


def _value(name: str, value: object) -> object:
    if name not in _AXES:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RequestError(f"{value!r} is not a value", "write one, or a list of them")
    if name == "n":
        return parse_size(str(value))
    if name != "seed":
        return str(value)
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise RequestError(f"{value!r} is not a seed", "write a whole number from 0 to 2147483647")
    return value


def _check_sources(study: Study, blocks: Iterable[list[_Factor]]) -> None:
    """Make sure that every source under `per_source` has runs."""
    used = {
        alternative["source"]
        for factors in blocks
        for factor in factors
        for alternative in factor
        if "source" in alternative
    }
    for name in study.per_source:
        if name not in used:
            raise unknown_name(f"source in per_source of {study.file}", name, used)
