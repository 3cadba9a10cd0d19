"""A preset that extends another: a mapping laid over the other's, name by name."""

from collections.abc import Callable
from functools import partial

from bench.core.config import laid_over
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.specs import TrainSpec
from bench.plugins import sources
from bench.plugins.registries import options_type

EXTENDS = "extends"


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
    # Of a source's options, some mappings are one value (a mixture's parts).
    types = partial(options_type, sources) if section == "sources" else lambda _: None
    merged = base | {
        name: laid_over(types(name), base.get(name), options) for name, options in own.items()
    }
    return {name: options for name, options in merged.items() if options is not None}
