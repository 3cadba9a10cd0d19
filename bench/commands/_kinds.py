"""The kinds of things that have names: what `bench list` lists and `bench show` shows."""

from collections.abc import Callable
from typing import NamedTuple


class Kind(NamedTuple):
    """The names of one kind, and what each of them is in a line."""

    names: Callable[[], list[str]]
    summary: Callable[[str], str]


PLUGINS = ("tasks", "sources", "writers", "objectives", "evaluators")
"""The kinds that have a registry."""

KINDS = (*PLUGINS, "models", "presets", "settings", "figures", "published")


def kind_of(name: str) -> Kind:
    """Return one of `KINDS`."""
    from bench import plugins
    from bench.planning import preset
    from results import figures
    from results.published.tables import every_table, tables

    if name in PLUGINS:
        registry = getattr(plugins, name)
        return Kind(registry.names, registry.summary)
    return {
        "models": Kind(_models, _model),
        "presets": Kind(preset.names, lambda each: preset.load(each).description),
        "settings": Kind(lambda: ["train"], lambda _: "How a model is trained: --set train.NAME."),
        "figures": Kind(figures.names, figures.what),
        "published": Kind(
            lambda: [table.name for table in every_table()], lambda each: tables(each)[0].title
        ),
    }[name]


def _models() -> list[str]:
    """Return the models that have a short name."""
    from bench.core.model_names import FETCHED, RELEASED
    from bench.core.paths import Home

    return sorted({*FETCHED, *RELEASED, *Home.packaged_models()})


def _model(name: str) -> str:
    """Return what a model is, and where it is or how to get it."""
    from bench.core.errors import RequestError
    from bench.core.paths import Home
    from bench.core.weights_folder import is_architecture

    try:
        folder = Home.from_environment().find_weights(name)
    except RequestError as error:
        return f"Not here: {error.fix}."
    if is_architecture(folder):
        return "An architecture without weights, trained from scratch: --set train.init=scratch."
    return f"Weights in {folder}."
