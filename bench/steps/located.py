"""Make the paths of a spec absolute: a run is the same from whatever folder it is asked for.

`./base`, `base/` and a link to it are one folder. A name that the home or the package knows, such
as that of fetched weights, stays as it is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.core.config import Place, with_places
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.specs import RunSpec
from bench.plugins import evaluators, sources, tasks, writers
from bench.plugins.registries import options_type
from bench.plugins.registry import Registry
from bench.tasks import WEBDATASET
from sources.captions.concept_lists import names as concept_lists
from sources.captions.phrase_lists import names as phrase_lists
from sources.pool.pool import MINIWORLDS


def located(spec: RunSpec, home: Home) -> RunSpec:
    """Return a spec whose task, preset, weights, pools and files are known names or absolute paths.

    Args:
        spec: As `bench.planning.preset.resolve` returns it; paths are relative to the current
            folder.
        home: Whose names come first.
    """
    return msgspec.structs.replace(
        spec,
        preset=_absolute(spec.preset) if spec.preset.endswith(".yaml") else spec.preset,
        task=spec.task if spec.task in tasks.names() else _task(spec.task),
        model=_placed(spec.model, "weights", home),
        options=_options(sources, spec.source, spec.options, home),
        evaluators={
            name: _options(evaluators, name, options, home)
            for name, options in spec.evaluators.items()
        },
    )


def _options(registry: Registry[Any], name: str, given: Json, home: Home) -> Json:
    """Return the options of a plug-in; of a source, those of its parts or of its writer too."""
    kind = options_type(registry, name)
    found = with_places(kind, given, lambda text, place: _placed(text, place, home))
    captions = found.get("captions")
    if isinstance(captions, dict) and "writer" in captions:
        written = _options(writers, captions["writer"], captions["options"], home)
        found["captions"] = {**captions, "options": written}
    parts = [*found.get("parts", {}), *([found["of"]] if "of" in found else [])]
    if parts:
        inner = {part: _options(sources, part, found["options"][part], home) for part in parts}
        found["options"] = {**found["options"], **inner}
    return found


def _placed(text: str, place: Place, home: Home) -> str:
    """Return a name that the home or the program knows as it is, and a path as an absolute one."""
    pools = home.pools
    is_known: dict[Place, Callable[[], bool]] = {
        "weights": lambda: home.has_weights(text),
        "pool": lambda: "://" in text or text in MINIWORLDS or (pools / text).exists(),
        "path": lambda: False,
        "list": lambda: text in (*phrase_lists(), *concept_lists()),
    }
    is_path = Path(text).is_absolute() or text.startswith(".")
    return text if not is_path and is_known[place]() else _absolute(text)


def _task(text: str) -> str:
    """Return a task's folder by its absolute path."""
    if text.startswith(WEBDATASET):
        return WEBDATASET + _absolute(text.removeprefix(WEBDATASET))
    return _absolute(text)


def _absolute(text: str) -> str:
    """Return the absolute path of what is there, links followed; any other text as it is."""
    path = Path(text)
    return str(path.resolve()) if path.exists() else text
