"""What differs between runs: their settings, by the names that ``--set`` gives them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from bench.core.json_values import Json, canonical_json
from bench.core.specs import RunSpec

_PARTS = ("order", "model", "objective", "train", "evaluators")


def differences(specs: Sequence[RunSpec]) -> list[dict[str, object]]:
    """Return, run by run, the settings in which the runs differ.

    Options are compared within each source and each objective. Task, source, n and seed are no
    settings.
    """
    keys = [_key(spec) for spec in specs]
    distinct = dict(zip(keys, specs, strict=True))
    by_key: dict[tuple[object, ...], dict[str, object]] = {key: {} for key in distinct}
    for group_of, settings_of in _COMPARED:
        groups: dict[str, dict[tuple[object, ...], dict[str, object]]] = defaultdict(dict)
        for key, spec in distinct.items():
            groups[group_of(spec)][key] = settings_of(spec)
        for group in groups.values():
            names = differing(list(group.values()))
            for key, settings in group.items():
                by_key[key] |= {name: settings[name] for name in names if name in settings}
    return [by_key[key] for key in keys]


def differing(variants: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the names that have several values, in the order of the first variant with each.

    A name that some variants lack, such as another evaluator's option, has several.
    """
    names = dict.fromkeys(name for variant in variants for name in variant)
    absent = object()

    def value(variant: Mapping[str, object], name: str) -> bytes | object:
        return canonical_json(variant[name]) if name in variant else absent

    return [name for name in names if len({value(variant, name) for variant in variants}) > 1]


def leaves(values: Json, within: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted name and the value of everything in nested mappings."""
    for name, value in values.items():
        path = f"{within}.{name}" if within else name
        if isinstance(value, dict) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def all_settings(spec: RunSpec) -> dict[str, object]:
    """Return the settings of a run, all options included, by their dotted names."""
    return _settings(spec) | _objective_options(spec) | _source_options(spec)


def _key(spec: RunSpec) -> tuple[object, ...]:
    # Specs of a study share their equal parts; equal parts that are not one object cost time alone.
    shared = [id(spec.options), id(spec.objective_options), id(spec.train), id(spec.evaluators)]
    return (spec.source, spec.order, spec.model, spec.objective, *shared)


def _settings(spec: RunSpec) -> dict[str, object]:
    values: Json = {name: msgspec.to_builtins(getattr(spec, name)) for name in _PARTS}
    return dict(leaves(values))


def _objective_options(spec: RunSpec) -> dict[str, object]:
    return dict(leaves(spec.objective_options, "objective"))


def _source_options(spec: RunSpec) -> dict[str, object]:
    return dict(leaves(spec.options, "source"))


_COMPARED: tuple[tuple[Callable[[RunSpec], str], Callable[[RunSpec], dict[str, object]]], ...] = (
    (lambda _: "", _settings),
    (lambda spec: spec.objective, _objective_options),
    (lambda spec: spec.source, _source_options),
)
"""Which runs are compared, and in which settings."""
