"""Read YAML strictly: like JSON, and as YAML 1.2 has it, without duplicate keys or aliases.

PyYAML follows YAML 1.1, in which ``no`` is false, ``010`` is 8, ``1e-5`` is a text and ``12:30`` is
750. Here only true and false are truth values, and a number is what JSON would call one.
"""

import re
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

    # Without U+0085, U+2028 and U+2029: within a text YAML 1.1 takes them for the end of a line,
    # and 1.2 does not.
    NON_PRINTABLE = re.compile(  # type: ignore[misc]
        "[^\\t\\n\\r -~\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]"
    )
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a few of them can expand to more than the memory holds; and tags."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("an alias, which is not supported: write out its value", event)
        if getattr(event, "tag", None) is not None:
            raise _refused(f"the tag {event.tag}, which is not supported: leave it out", event)
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
        """Refuse a leading zero, which YAML 1.1 takes for octal, and what 64 bits cannot hold."""
        text = node.value
        if re.match("[-+]?0[0-9]", text):
            raise _refused(
                f"{text[:30]!r}: write it without the leading zero, or in quotes if it is a text",
                node,
            )
        if node.tag.endswith(":int"):
            whole = int(text, 0)
            if -(2**63) <= whole < 2**63:
                return whole
        elif isfinite(value := float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))):
            return value
        raise _refused(f"{text[:30]!r}, which is not a finite number of 64 bits", node)


_PLAIN = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": ("|~|null|Null|NULL", ["", *"~nN"]),
    "int": ("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|"
        r"\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
"""What a text without quotes is, by YAML 1.2's core schema (section 10.3.2), with the characters
it may begin with; the first that matches."""

for _kind, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), list(_first)
    )
for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.number)


def _refused(what: str, where: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401
    return yaml.MarkedYAMLError(problem=f"there is {what}", problem_mark=where.start_mark)


def _problem(error: Exception) -> str:
    """Return what is wrong with a YAML text, and in which line."""
    if isinstance(error, yaml.reader.ReaderError) and isinstance(error.character, int):
        code = f"{error.character:04x}"
        return f'it has the character U+{code.upper()}: write it as an escape, "\\u{code}"'
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    return f"{what} (line {mark.line + 1})" if mark else what


def parse_yaml(content: bytes | str) -> Any:  # noqa: ANN401 (any value)
    """Return the value of a YAML text.

    Raises:
        ValueError: If it is not YAML, or has what could not be JSON; with the line.
    """
    try:
        return yaml.load(content, _Loader)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(_problem(error)) from error


def read_yaml(path: Path) -> Json:
    """Return the mapping in a YAML file.

    Raises:
        RequestError: If the file is absent, too large, not YAML, or not a mapping.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_YAML_BYTES:
        raise RequestError(f"{path} is longer than {MAX_YAML_BYTES:,} bytes", "keep settings short")
    try:
        values = parse_yaml(content)
    except ValueError as error:
        raise RequestError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        what = "is empty" if values is None else "does not hold a mapping"
        raise RequestError(f"{path} {what}", "write names and values, such as name: value")
    return values


def declaration(folder: Path, name: str) -> Path | None:
    """Return the file of a name in a folder, or None if there is none.

    Raises:
        RequestError: If there is one whose name differs in its case or in ``.yml``.
    """
    check_declaration(str(folder), [path.name for path in folder.iterdir()], name)
    path = folder / name
    return path if path.is_file() else None


def check_declaration(folder: str, names: list[str], name: str) -> None:
    """Make sure that no file's name differs from a declaration's in its case or in ``.yml`` only.

    Raises:
        RequestError: If one does: it would not be read.
    """
    for other in names:
        if other != name and other.lower().replace(".yml", ".yaml") == name:
            raise RequestError(f"{folder} has {other}, which is not read", f"rename it to {name}")
