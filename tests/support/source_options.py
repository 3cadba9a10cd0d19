"""A source's options from settings that are named by their last part alone."""

from bench.core.config import assign, paths
from bench.core.json_values import Json
from bench.plugins.registries import options_type, sources


def options_of(source: str, **settings: object) -> Json:
    """Return options; ``steps=2`` is `generation.steps`, ``filter__model`` is `filter.model`."""
    options: Json = {}
    names = list(dict.fromkeys(paths(options_type(sources, source))))
    for name, value in settings.items():
        path = name.replace("__", ".")
        found = [known for known in names if known == path] or [
            known for known in names if known.endswith(f".{path}")
        ]
        assert len(found) <= 1, f"{name} may be {found}"
        assign(options, (found or [path])[0].split("."), value)
    return options
