"""What differs between runs: their settings, by the names that ``--set`` gives them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bench.core.json_values import Json, canonical_json
from bench.core.specs import RunSpec

_PARTS = ("order", "model", "objective", "train", "evaluators")


def differences(specs: Sequence[RunSpec]) -> list[dict[str, object]]:
    """Return, run by run, the settings in which the runs differ; options within each source.

    Task, source, n and seed are no settings.
    """
    keys = [_key(spec) for spec in specs]
    distinct = dict(zip(keys, specs, strict=True))
    settings = {key: _settings(spec) for key, spec in distinct.items()}
    options = {key: dict(leaves(spec.options, "source")) for key, spec in distinct.items()}
    by_source: dict[str, list[dict[str, object]]] = defaultdict(list)
    for key, spec in distinct.items():
        by_source[spec.source].append(options[key])
    of_all = differing(list(settings.values()))
    of_source = {source: differing(group) for source, group in by_source.items()}
    by_key = {
        key: {name: settings[key][name] for name in of_all if name in settings[key]}
        | {name: options[key][name] for name in of_source[spec.source] if name in options[key]}
        for key, spec in distinct.items()
    }
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
    """Return the settings of a run, its source's options included, by their dotted names."""
    return _settings(spec) | dict(leaves(spec.options, "source"))


def _key(spec: RunSpec) -> tuple[object, ...]:
    # Specs of a study share their equal parts; equal parts that are not one object cost time alone.
    shared = (id(spec.options), id(spec.train), id(spec.evaluators))
    return (spec.source, spec.order, spec.model, spec.objective, *shared)


def _settings(spec: RunSpec) -> dict[str, object]:
    values: Json = {name: msgspec.to_builtins(getattr(spec, name)) for name in _PARTS}
    return dict(leaves(values))
