"""The kinds of things that have names: what `bench list` lists and `bench show` shows."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Kind(NamedTuple):
    """The names of one kind, and what each of them is in a line."""

    names: Callable[[], list[str]]
    summary: Callable[[str], str]


PLUGINS = ("tasks", "sources", "writers", "objectives", "evaluators")
"""The kinds that have a registry."""

KINDS = (*PLUGINS, "presets", "settings", "figures")


def kind_of(name: str) -> Kind:
    """Return one of `KINDS`."""
    from bench import plugins
    from bench.core.summaries import documentation, first_line
    from bench.planning import preset

    if name in PLUGINS:
        registry = getattr(plugins, name)
        return Kind(registry.names, registry.summary)
    return {
        "presets": Kind(preset.names, lambda each: preset.load(each).description),
        "settings": Kind(lambda: ["train"], lambda _: "How a model is trained: --set train.NAME."),
        "figures": Kind(_figures, lambda each: first_line(documentation(_figure(each)))),
    }[name]


def _figures() -> list[str]:
    from pkgutil import iter_modules

    from results import figures

    names = (module.name for module in iter_modules(figures.__path__))
    return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))


def _figure(name: str) -> Path:
    """Return the file of a figure."""
    from results import figures

    return Path(figures.__path__[0]) / f"{name.replace('-', '_')}.py"
