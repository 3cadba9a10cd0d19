"""A preset that extends another: a mapping laid over the other's, name by name."""

from collections.abc import Callable
from typing import Any

from bench.core.config import laid_over
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.specs import TrainSpec
from bench.plugins import objectives, sources
from bench.plugins.registries import options_type
from bench.plugins.registry import Registry

EXTENDS = "extends"

_OF_PLUGINS: dict[str, Registry[Any]] = {"sources": sources, "objectives": objectives}


def extended(name: str, read: Callable[[str], Json], within: tuple[str, ...] = ()) -> Json:
    """Return a preset's content with all that it leaves as it is in the one that it extends.

    What it sets to null, such as an evaluator, is left out.

    Args:
        name: The preset's name or path.
        read: Returns what the file of a preset says, by name or path.
        within: The presets that extend it.

    Raises:
        RequestError: If it extends itself, or what it extends is no name.
    """
    if name in within:
        raise RequestError(f"the preset {name} extends itself: {' → '.join((*within, name))}")
    content = read(name)
    if EXTENDS not in content:
        return content
    own = {key: value for key, value in content.items() if key != EXTENDS}
    if not isinstance(content[EXTENDS], str):
        raise RequestError(
            f"the preset {name}: extends: {content[EXTENDS]!r} is not a preset's name"
        )
    base = extended(content[EXTENDS], read, (*within, name)) | {"name": name}
    return base | {key: _over(key, base.get(key), value) for key, value in own.items()}


def _over(section: str, base: object, own: object) -> object:
    if section == "train":
        return laid_over(TrainSpec, base, own)
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    registry = _OF_PLUGINS.get(section)
    merged = base | {
        name: laid_over(registry and options_type(registry, name), base.get(name), options)
        for name, options in own.items()
    }
    return {name: options for name, options in merged.items() if options is not None}
