"""The settings in which a study's runs differ, by the names that ``--set`` gives them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from bench.core.json_values import Json, canonical_json
from bench.core.specs import RunSpec

_PARTS = ("order", "model", "objective", "train", "evaluators")


def differences(specs: Sequence[RunSpec]) -> list[dict[str, object]]:
    """Return, run by run, the settings in which the runs differ; options within each source.

    Task, source, n and seed are no settings. A setting that some of the runs do not have, such as
    another evaluator's option, counts as different.
    """
    keys = [_key(spec) for spec in specs]
    distinct = dict(zip(keys, specs, strict=True))
    settings = {key: _settings(spec) for key, spec in distinct.items()}
    options = {key: dict(_leaves(spec.options, "source")) for key, spec in distinct.items()}
    common = _differing(list(settings.values()))
    by_source: dict[str, list[dict[str, object]]] = defaultdict(list)
    for key, spec in distinct.items():
        by_source[spec.source].append(options[key])
    of_source = {source: _differing(own) for source, own in by_source.items()}
    told = {
        key: {name: settings[key][name] for name in common if name in settings[key]}
        | {name: options[key][name] for name in of_source[spec.source] if name in options[key]}
        for key, spec in distinct.items()
    }
    return [told[key] for key in keys]


def _key(spec: RunSpec) -> tuple[object, ...]:
    # Specs of a study share what they have in common; equal parts that are two are looked at twice.
    shared = (id(spec.options), id(spec.train), id(spec.evaluators))
    return (spec.source, spec.order, spec.model, spec.objective, *shared)


def _settings(spec: RunSpec) -> dict[str, object]:
    values: Json = {name: msgspec.to_builtins(getattr(spec, name)) for name in _PARTS}
    return dict(_leaves(values))


def _leaves(values: Json, within: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        path = f"{within}.{name}" if within else name
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _differing(variants: list[dict[str, object]]) -> list[str]:
    names = dict.fromkeys(name for one in variants for name in one)
    absent = object()

    def spelt(one: dict[str, object], name: str) -> bytes | object:
        return canonical_json(one[name]) if name in one else absent

    return [name for name in names if len({spelt(one, name) for one in variants}) > 1]
