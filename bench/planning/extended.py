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


def extended(content: Json, read: Callable[[str], Json], where: str) -> Json:
    """Return a preset's content with all that it leaves as it is in the one that it extends.

    What it sets to null, such as an evaluator, is left out.

    Args:
        content: What the preset's file says.
        read: Returns the content of another preset's file, by name or path.
        where: The preset, for messages.

    Raises:
        RequestError: If what it extends extends another: one step is enough to follow.
    """
    if EXTENDS not in content:
        return content
    own = {name: value for name, value in content.items() if name != EXTENDS}
    base_name = content[EXTENDS]
    if not isinstance(base_name, str):
        raise RequestError(f"{where}: extends: {base_name!r} is not the name of a preset")
    base = read(base_name)
    if EXTENDS in base:
        raise RequestError(
            f"{where} extends {base_name}, which extends {base[EXTENDS]}",
            f"extend {base[EXTENDS]}, and write out the rest",
        )
    return base | {name: _over(name, base.get(name), value) for name, value in own.items()}


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
