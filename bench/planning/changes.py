"""What the runs of a request change of their preset."""

from collections.abc import Iterable

import msgspec

from bench.core.json_values import canonical_json
from bench.core.specs import RunSpec
from bench.planning.differences import all_settings
from bench.planning.preset import load, resolve
from bench.plugins import sources
from bench.plugins.registries import options_type


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
    usual: dict[str, dict[str, object]] = {}
    found: dict[tuple[str, str], list[object]] = {}
    for spec in specs:
        if spec.source not in usual:
            usual[spec.source] = _usual(spec, preset)
        own, before = all_settings(spec), usual[spec.source]
        for name in dict.fromkeys([*before, *own]):
            if own.get(name) != before.get(name):
                values = found.setdefault((name, spec.source), [])
                values += [] if own.get(name) in values else [own.get(name)]
    alike: dict[bytes, Change] = {}
    for (name, source), values in found.items():
        change = Change(name, usual[source].get(name), values, [])
        alike.setdefault(canonical_json(change), change).sources.append(source)
    return list(alike.values())


def _usual(spec: RunSpec, preset: str) -> dict[str, object]:
    """Return the settings that a preset gives a run; what only a request can give is not there."""
    given = load(preset).sources.get(spec.source, {})
    fields = msgspec.structs.fields(options_type(sources, spec.source))
    asked = [field.encode_name for field in fields if field.required]
    needed = {f"source.{name}": spec.options[name] for name in asked if name not in given}
    plain = resolve(preset, task=spec.task, source=spec.source, n=spec.n, settings=needed)
    return {name: value for name, value in all_settings(plain).items() if name not in needed}


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
