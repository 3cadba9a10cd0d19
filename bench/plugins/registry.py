"""Find plug-ins by name: a name is a file, and a decorator in that file registers the plug-in.

`--source synthetic` is ``sources/synthetic.py``. Third parties add an entry point in the group
``bench.sources`` (``.tasks``, ``.writers``, ``.objectives``, ``.evaluators``) or a file given by
``--plugin``. A task may be a YAML file alone, which its package declares.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Generic, TypeVar

from bench.core.errors import RequestError, unknown_name
from bench.core.memo import memo
from bench.core.summaries import documentation, first_line, plain

T = TypeVar("T")


class Registry(Generic[T]):
    """The plug-ins of one kind, imported only when asked for by name.

    Args:
        kind: What one plug-in is called, e.g. ``"source"``; also names the entry-point group.
        package: The package whose modules are the built-in ones.
        declared: Whether YAML files of the package are built in too; its ``declare`` returns the
            plug-in of a name.
    """

    def __init__(self, kind: str, package: str, *, declared: bool = False) -> None:
        self.kind = kind
        self.package = package
        self.declared = declared
        self._loaded: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a plug-in; a name is registered once."""

        def decorate(plugin: T) -> T:
            if name not in self._loaded and name in self._built_in():
                # The built-in one is registered first, so that no other can take its name.
                self._import(name)
            if name in self._loaded and self._loaded[name] is not plugin:
                raise RequestError(f"two {self.kind}s are called {name!r}", "rename one of them")
            self._loaded[name] = plugin
            return plugin

        return decorate

    def names(self) -> list[str]:
        """Return all names; no plug-in is imported."""
        return sorted({*self._loaded, *self._built_in(), *self._outside()})

    def get(self, name: str) -> T:
        """Return a plug-in.

        Raises:
            RequestError: If there is none; near names are suggested.
        """
        if name not in self._loaded:
            if name in self._built_in():
                self._import(name)
            elif name in (outside := self._outside()):
                self.register(name)(self._load(outside[name]))
        if name not in self._loaded:
            raise unknown_name(self.kind, name, self.names())
        return self._loaded[name]

    def documentation(self, name: str) -> str:
        """Return what a plug-in says of itself; a built-in one is not imported for it.

        Raises:
            RequestError: If there is none, or an installed package's does not import.
        """
        if name in self._built_in():
            return documentation(self._file(name))
        return plain(inspect.getdoc(self.get(name)) or "")

    def summary(self, name: str) -> str:
        """Return what a plug-in is, in a line; raises as `documentation` does."""
        return first_line(self.documentation(name))

    def _file(self, name: str) -> Path:
        """Return the file of a built-in plug-in; of a task with two, the one that declares it."""
        folder = Path(next(iter(importlib.import_module(self.package).__path__)))
        stem = folder / name.replace("-", "_")
        declared = stem.with_suffix(".yaml")
        return declared if declared.exists() else stem.with_suffix(".py")

    def _import(self, name: str) -> None:
        module = name.replace("-", "_")
        if not self.declared or importlib.util.find_spec(f"{self.package}.{module}"):
            importlib.import_module(f"{self.package}.{module}")
        else:
            self._loaded[name] = importlib.import_module(self.package).declare(name)

    def _load(self, point: importlib.metadata.EntryPoint) -> T:
        try:
            plugin: T = point.load()
        except (ImportError, AttributeError, SyntaxError) as error:
            raise RequestError(
                f"the {self.kind} {point.name!r} of an installed package does not import: {error}",
                f"its entry point is {point.value}; repair or uninstall the package",
            ) from error
        return plugin

    @memo
    def _built_in(self) -> set[str]:
        package = importlib.import_module(self.package)
        modules = {module.name for module in iter_modules(package.__path__) if not module.ispkg}
        if self.declared:
            files = (file for path in package.__path__ for file in Path(path).glob("*.yaml"))
            modules |= {file.stem for file in files}
        return {name.replace("_", "-") for name in modules if not name.startswith("_")}

    @memo
    def _outside(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {point.name: point for point in entry_points(group=f"bench.{self.kind}s")}


def load_plugin(path: Path) -> None:
    """Import a file, whose decorators register its plug-ins.

    Raises:
        RequestError: If the file does not exist or does not import.
    """
    name = f"bench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise RequestError(
            f"the plug-in {path} is not a Python file", "give the path of a .py file"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError, ValueError) as error:
        raise RequestError(f"the plug-in {path} does not import: {error}") from error
