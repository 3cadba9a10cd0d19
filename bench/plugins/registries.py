"""The registries, one for each kind of plug-in, and their plug-ins' options."""

from functools import lru_cache
from typing import Any

import msgspec

from bench.core.config import Config, parse_config, spec_values
from bench.core.errors import RequestError
from bench.core.json_values import Json, canonical_json
from bench.core.specs import RunSpec
from bench.core.task import Task
from bench.plugins.captions import CaptionWriter
from bench.plugins.evaluation import Evaluator
from bench.plugins.objective import ConfiguredObjective, Needs, Objective
from bench.plugins.registry import Registry
from bench.plugins.source import Source

sources: Registry[type[Source]] = Registry("source", "sources")
writers: Registry[type[CaptionWriter]] = Registry("writer", "sources.writers")
objectives: Registry[type[Objective]] = Registry("objective", "adapt.objectives")
evaluators: Registry[type[Evaluator]] = Registry("evaluator", "eval")
tasks: Registry[Task] = Registry("task", "bench.tasks", declared=True)


def source_of(name: str, options: Json) -> Source:
    """Return a source with its options checked and defaults filled in.

    Raises:
        RequestError: If there is no such source, or an option is unknown or does not fit.
    """
    kind = sources.get(name)
    return kind(parse_config(options_type(sources, name), options, f"the source {name}"))


def evaluator_of(name: str, options: Json) -> Evaluator:
    """Return an evaluator with its options checked; raises as `source_of` does."""
    kind = evaluators.get(name)
    return kind(parse_config(options_type(evaluators, name), options, f"the evaluator {name}"))


def objective_of(name: str, options: Json) -> ConfiguredObjective:
    """Return an objective with its options checked; raises as `source_of` does."""
    kind = objectives.get(name)
    chosen = parse_config(options_type(objectives, name), options, f"the objective {name}")
    return ConfiguredObjective(kind, chosen)


def needs_of(spec: RunSpec) -> Needs:
    """Return what a run's objective needs; raises as `source_of` does."""
    return _needs(spec.objective, canonical_json(spec.objective_options))


@lru_cache(maxsize=64)  # A study asks for it 100,000 times.
def _needs(objective: str, options: bytes) -> Needs:
    return objective_of(objective, msgspec.json.decode(options)).needs


def writer_of(name: str, options: Json) -> CaptionWriter:
    """Return a caption writer with its options checked; raises as `source_of` does."""
    kind = writers.get(name)
    return kind(parse_config(options_type(writers, name), options, f"the writer {name}"))


def full_options(registry: Registry[Any], name: str, given: Json) -> Json:
    """Return the options of a plug-in, defaults filled in, as a spec has them (`spec_values`)."""
    kind = options_type(registry, name)
    return spec_values(parse_config(kind, given, f"the {registry.kind} {name}"))


def options_type(registry: Registry[Any], name: str) -> type[Config]:
    """Return the type of the options of a plug-in.

    Raises:
        RequestError: If there is no such plug-in, or it is of an earlier version without options.
    """
    kind: type[Config] | None = getattr(registry.get(name), "Options", None)
    if kind is None:
        raise RequestError(
            f"the {registry.kind} {name} has no Options",
            "write it as docs/objectives.md or docs/adding-a-source.md shows",
        )
    return kind
