"""Settings for every source of a study: each applies to the sources that have it.

A part of a mixture, or the source whose images are denoised, is a source like any other.
"""

from collections.abc import Iterable, Iterator

from bench.core.config import Config, assign, has_setting, paths, single_settings
from bench.core.errors import RequestError, did_you_mean
from bench.core.json_values import Json
from bench.core.specs import RunSpec
from bench.plugins import sources
from bench.plugins.registries import options_type

PREFIX = "source."


def with_common(kind: type[Config], given: Json, common: Json) -> Json:
    """Return options with the common settings that their type has.

    Args:
        kind: The type of a source's options.
        given: The options.
        common: Path below ``source`` to value.
    """
    values, left = dict(given), _single(kind, common)
    # One setting, such as a filter's rule, may decide whether there is another.
    while fitting := [path for path in left if has_setting(kind, path.split("."), values)]:
        for path in fitting:
            assign(values, path.split("."), left.pop(path), kind)
    return values


def require_known(common: Json, specs: Iterable[RunSpec], where: str) -> None:
    """Make sure that each common setting is one of some source.

    Args:
        common: Path below ``source`` to value.
        specs: The study's runs.
        where: The study's file.

    Raises:
        RequestError: If no source has it.
    """
    if not common:
        return
    options = [pair for spec in specs for pair in _sources_of(spec.source, spec.options)]
    names = {name for kind, _ in options for name in paths(kind)}
    single = {path: None for kind, _ in options for path in _single(kind, common)}
    for path in single:
        split_elsewhere = any(other.startswith(f"{path}.") for other in single)
        has = (has_setting(kind, path.split("."), values) for kind, values in options)
        if not split_elsewhere and not any(has):
            raise RequestError(
                f"--set {PREFIX}{path}: no source of {where} has it", _suggestion(path, names)
            )


def _single(kind: type[Config], common: Json) -> Json:
    return {
        name: inner
        for path, value in common.items()
        for name, inner in single_settings(kind, path, value)
    }


def _sources_of(source: str, options: Json) -> Iterator[tuple[type[Config], Json]]:
    """Yield type and values of the options of a source and of its parts."""
    yield options_type(sources, source), options
    of = [options["of"]] if "of" in options else []
    for part in (*options.get("parts", {}), *of):
        yield from _sources_of(part, options["options"][part])


def _suggestion(path: str, names: set[str]) -> str:
    last = path.rpartition(".")[2]
    deeper = sorted(name for name in names if f".{name}".endswith(f".{last}"))
    if deeper:
        return f"did you mean {' or '.join(PREFIX + name for name in deeper)}?"
    return did_you_mean(PREFIX + path, sorted(PREFIX + name for name in names))
