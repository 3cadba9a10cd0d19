"""What the runs of a request change of their preset."""

from collections.abc import Iterable
from typing import Any

import msgspec

from bench.core.json_values import Json, canonical_json
from bench.core.specs import RunSpec
from bench.planning.differences import all_settings
from bench.planning.preset import load, resolve
from bench.plugins import objectives, sources
from bench.plugins.registries import options_type
from bench.plugins.registry import Registry


class Change(msgspec.Struct, frozen=True):
    """A setting that a request gives another value than the preset.

    Attributes:
        setting: Its name, as ``--set`` takes it.
        preset: The preset's value; None if it has none.
        values: The runs' values, each once; None where a run has none.
        sources: The sources of which it is a change.
    """

    setting: str
    preset: object
    values: list[object]
    sources: list[str]


def changes(specs: Iterable[RunSpec], preset: str) -> list[Change]:
    """Return what runs of one preset change of it.

    Args:
        specs: The runs.
        preset: The preset's name or path.
    """
    usual: dict[tuple[str, str], dict[str, object]] = {}
    found: dict[tuple[str, str, bytes], Change] = {}
    for spec in specs:
        kind = spec.source, spec.objective
        if kind not in usual:
            usual[kind] = _usual(spec, preset)
        own, before = all_settings(spec), usual[kind]
        for name in dict.fromkeys([*before, *own]):
            value, preset_value = own.get(name), before.get(name)
            if value != preset_value:
                key = name, spec.source, canonical_json(preset_value)
                change = found.setdefault(key, Change(name, preset_value, [], []))
                change.values.extend([] if value in change.values else [value])
    alike: dict[bytes, Change] = {}
    for (_, source, _), change in found.items():
        alike.setdefault(canonical_json(change), change).sources.append(source)
    return list(alike.values())


def _usual(spec: RunSpec, preset: str) -> dict[str, object]:
    """Return the settings that a preset gives a run; what only a request can give is not there."""
    given = load(preset)
    needed = _required(sources, spec.source, given.sources, "source", spec.options)
    own = spec.objective_options
    needed |= _required(objectives, spec.objective, given.objectives, "objective", own)
    settings = {"objective": spec.objective, **needed}
    plain = resolve(preset, task=spec.task, source=spec.source, n=spec.n, settings=settings)
    usual = all_settings(plain) | {"objective": given.objective}
    return {name: value for name, value in usual.items() if name not in needed}


def _required(
    registry: Registry[Any], name: str, given: dict[str, Json], prefix: str, options: Json
) -> Json:
    """Return, of a plug-in's options that have no default, those that a preset does not give."""
    fields = msgspec.structs.fields(options_type(registry, name))
    asked = [field.encode_name for field in fields if field.required]
    return {
        f"{prefix}.{option}": options[option]
        for option in asked
        if option not in given.get(name, {})
    }


def as_lines(found: Iterable[Change], all_sources: Iterable[str]) -> list[str]:
    """Return a line for each change; one of all the sources names none."""
    every = set(all_sources)
    return [
        f"{change.setting} = {' or '.join(map(_text, change.values))}, where the preset has "
        + _text(change.preset)
        + ("" if set(change.sources) >= every else f" ({', '.join(change.sources)})")
        for change in found
    ]


def _text(value: object) -> str:
    return "nothing" if value is None else str(value)
