"""The command that repeats a run."""

import shlex
from functools import lru_cache

import msgspec

from bench.core.config import parse_assignment
from bench.core.errors import RequestError
from bench.core.json_values import canonical_json
from bench.core.specs import RunSpec
from bench.planning.differences import all_settings
from bench.planning.preset import resolve

_Settings = list[tuple[str, object]]


def command_of(spec: RunSpec) -> str:
    """Return the command that repeats a run: ``bench run`` with every setting that it needs.

    Empty where none can be had here: the run's preset, task or plug-in is not to be found, or is
    another than it was. Where data were (`BENCH_HOME`) is not part of it.
    """
    shared = msgspec.structs.replace(spec, n=0, seed=0, fingerprints={})
    settings = _settings(canonical_json(shared))
    if settings is None:
        return ""
    words = ["bench", "run", "--preset", spec.preset, "--source", spec.source, "--task", spec.task]
    words += ["--n", "all" if spec.n is None else str(spec.n)] if spec.source != "none" else []
    words += ["--seed", str(spec.seed)] if spec.seed else []
    return shlex.join([*words, *settings])


@lru_cache
def _settings(content: bytes) -> list[str] | None:
    """Return the options that runs need which differ in n and seed alone; None for no command."""
    spec = msgspec.json.decode(content, type=RunSpec)
    try:
        named: _Settings = [("objective", spec.objective)]
        is_default = _resolved(spec, []).objective == spec.objective
        known = all_settings(base := _resolved(spec, named))
        changed = [
            (name, value)
            for name, value in all_settings(spec).items()
            if name != "objective" and not _same(value, known.get(name, _ABSENT))
        ]
        left_out = sorted(set(base.evaluators) - set(spec.evaluators))
        changed += [(f"evaluators.{name}", None) for name in left_out]
        if canonical_json(_resolved(spec, [*named, *changed])) != content:
            return None
    except RequestError:
        return None
    words = [] if is_default else ["--objective", spec.objective]
    for name, value in changed:
        words += ["--set", f"{name}={_written(value)}"]
    return words


_ABSENT = object()


def _same(one: object, other: object) -> bool:
    return other is not _ABSENT and canonical_json(one) == canonical_json(other)


def _resolved(spec: RunSpec, settings: _Settings) -> RunSpec:
    found = resolve(spec.preset, task=spec.task, source=spec.source, n=0, settings=settings)
    return msgspec.structs.replace(found, n=0, fingerprints={})


def _written(value: object) -> str:
    """Return a value as ``--set`` reads it; a text is quoted where YAML would read it otherwise."""
    if isinstance(value, str):
        try:
            if parse_assignment(f"name={value}")[1] == value:
                return value
        except RequestError:
            pass
    return msgspec.json.encode(value).decode()
