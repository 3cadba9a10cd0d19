"""Studies: a YAML file that expands to runs.

    name: mini-aircraft
    preset: mini
    settings: {train.epochs: 10}              # for every run
    per_source:
      synthetic: {source.size: 1k}            # for the runs of one source
    grid:
      - product: {task: [aircraft], source: [retrieved, synthetic], n: [125, 250], seed: [0, 1]}
      - zip: {source: [real, none], n: [all, all], task: [aircraft, aircraft]}

In a block, the names ``task``, ``source``, ``n`` and ``seed`` mean what they mean to ``bench
run``; any other name is a setting such as ``train.lr``. Equal specs collapse to one run.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from bench.declared import declared, read_yaml
from bench.errors import RequestError
from bench.preset import resolve
from bench.size import parse_size
from bench.types import Declared, Json, RunSpec

_AXES = ("task", "source", "n", "seed")


class Study(Declared, frozen=True, kw_only=True):
    """What a study file says."""

    name: str
    preset: str
    description: str = ""
    settings: Json = {}
    per_source: dict[str, Json] = {}
    grid: list[dict[str, dict[str, list[Any]]]]


def load_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        RequestError: If it is absent or malformed.
    """
    return declared(Study, {"name": path.stem, **read_yaml(path)}, str(path))


def expand(study: Study) -> list[RunSpec]:
    """Return a study's runs, each once, in the order of the file.

    Raises:
        RequestError: If a block or a run is malformed.
    """
    specs: dict[str, RunSpec] = {}
    for point in _points(study):
        missing = [axis for axis in ("task", "source", "n") if axis not in point]
        if missing:
            raise RequestError(f"study {study.name}: a block does not say {', '.join(missing)}")
        source = str(point["source"])
        own = {name: value for name, value in point.items() if name not in _AXES}
        spec = resolve(
            study.preset,
            task=str(point["task"]),
            source=source,
            n=parse_size(str(point["n"])),
            seed=_seed(point.get("seed", 0), study),
            settings={**study.settings, **study.per_source.get(source, {}), **own},
        )
        specs.setdefault(spec.run_id, spec)
    return list(specs.values())


def _seed(value: object, study: Study) -> int:
    if not isinstance(value, int):
        raise RequestError(f"study {study.name}: the seed {value!r} is not a whole number")
    return value


def _points(study: Study) -> Iterator[Json]:
    for block in study.grid:
        kind = next(iter(block), "")
        if len(block) != 1 or kind not in ("product", "zip"):
            raise RequestError(f"study {study.name}: a block is neither `product` nor `zip`")
        axes = block[kind]
        if kind == "zip" and len({len(values) for values in axes.values()}) != 1:
            raise RequestError(f"study {study.name}: the lists of a zip block differ in length")
        points = product(*axes.values()) if kind == "product" else zip(*axes.values(), strict=True)
        yield from (dict(zip(axes, values, strict=True)) for values in points)
