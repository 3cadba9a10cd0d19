"""Read YAML files strictly: like JSON, without duplicate keys, aliases or odd numbers."""

from collections.abc import Hashable
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from bench.core.errors import RequestError
from bench.core.json_values import Json

MAX_YAML_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Loads YAML that could be JSON: no duplicate keys, no aliases, no number that JSON lacks."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a few of them can expand to more than the memory holds."""
        if self.check_event(yaml.AliasEvent):
            place = self.peek_event()  # type: ignore[no-untyped-call]
            raise _refused("an alias, which is not supported: write out its value", place)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a duplicate key: the last would silently win."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _refused(f"{key.value!r} a second time", key)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int | float:
        """Refuse a number beyond 64 bits, infinity and NaN."""
        if node.tag.endswith(":int"):
            whole = int(self.construct_yaml_int(node))
            if -(2**63) <= whole < 2**63:
                return whole
        elif isfinite(value := float(self.construct_yaml_float(node))):
            return value
        raise _refused(f"{node.value[:30]!r}, which is not a finite number of 64 bits", node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.number)


def _refused(what: str, where: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401
    return yaml.MarkedYAMLError(problem=f"there is {what}", problem_mark=where.start_mark)


def _problem(error: Exception) -> str:
    """Return what is wrong with a YAML text, and in which line."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    return f"{what} (line {mark.line + 1})" if mark else what


def read_yaml(path: Path) -> Json:
    """Return the mapping in a YAML file.

    Raises:
        RequestError: If the file is absent, too large, not YAML, or not a mapping.
    """
    try:
        content = path.read_bytes()
        if len(content) > MAX_YAML_BYTES:
            raise RequestError(f"{path} is {len(content)} bytes long", "keep settings short")
        values = yaml.load(content, _Loader)  # noqa: S506 (a safe loader)
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RequestError(f"{path} is not YAML: {_problem(error)}") from error
    if not isinstance(values, dict):
        raise RequestError(f"{path} does not hold a mapping")
    return values
