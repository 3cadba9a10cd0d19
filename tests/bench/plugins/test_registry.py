"""Registries: built-in plug-ins, plug-in files and entry points are found by name."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench.core.errors import RequestError
from bench.plugins import objective_of, objectives, sources
from bench.plugins import registry as registry_module
from bench.plugins.registry import Registry, load_plugin


def plugin_file(folder: Path, name: str) -> Path:
    path = folder / "plugin.py"
    path.write_text(
        f"from bench.plugins import sources\n@sources.register({name!r})\nclass Mine: ...\n"
    )
    return path


def test_a_name_is_registered_once() -> None:
    registry: Registry[object] = Registry("source", "sources")
    thing = registry.register("mine")(object())
    assert registry.register("mine")(thing) is thing
    with pytest.raises(RequestError, match="two sources are called 'mine'"):
        registry.register("mine")(object())


def test_an_objective_of_the_interface_before_options_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Earlier:
        def loss(self, model: object, images: object, labels: object) -> None: ...

    monkeypatch.setattr(objectives, "_loaded", {**objectives._loaded, "earlier": Earlier})
    with pytest.raises(RequestError, match="the objective earlier has no Options"):
        objective_of("earlier", {})


def test_a_plug_in_file_registers_what_it_decorates_but_no_built_in_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.get("real")  # A module registers once: in the registry that other tests see.
    monkeypatch.setattr(sources, "_loaded", dict(sources._loaded))
    load_plugin(plugin_file(tmp_path, "of-a-file"))
    assert sources.get("of-a-file").__name__ == "Mine"
    with pytest.raises(RequestError, match="two sources are called 'real'"):
        load_plugin(plugin_file(tmp_path, "real"))
    assert sources.get("real").__module__ == "sources.real"


def test_every_built_in_source_loads_under_its_file_name() -> None:
    built_in = {"denoised", "folder", "mixed", "none", "real", "retrieved", "synthetic"}
    assert built_in <= set(sources.names())
    assert {sources.get(name).__module__ for name in built_in} == {f"sources.{n}" for n in built_in}


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "is not a Python file"), ("import nosuchthing", "nosuchthing"), ("def", "syntax")],
)
def test_a_plug_in_that_does_not_import_is_a_request_error(
    tmp_path: Path, content: str | None, why: str
) -> None:
    plugin = tmp_path / "broken.py"
    if content is not None:
        plugin.write_text(content)
    with pytest.raises(RequestError, match=why):
        load_plugin(plugin)


def test_entry_points_are_listed_and_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("theirs", "collections:OrderedDict", "bench.sources"),
        EntryPoint("broken", "no_such_package:Thing", "bench.sources"),
    ]
    monkeypatch.setattr(registry_module, "entry_points", lambda **_: points)
    registry: Registry[type] = Registry("source", "sources")
    assert {"theirs", "broken", "real"} <= set(registry.names())
    assert registry.get("theirs").__name__ == "OrderedDict"
    with pytest.raises(RequestError, match="'broken'"):
        registry.get("broken")
