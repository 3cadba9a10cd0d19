"""The settings of a `Config` as a person reads about them: name, values, default and meaning."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from bench.core.config import Config, _configs, _place, default_of
from bench.core.summaries import first_line, plain

_PLACES = {
    "path": "path",
    "weights": "name or folder of weights",
    "pool": "name, path or address of a pool",
    "list": "name or path of a YAML file",
}

_WORDS: dict[Any, str] = {
    **{bool: "true or false", int: "whole number", float: "number", str: "text"},
    **{dict: "mapping", Any: "anything"},
}

_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}

_NO_BOUND = 1e300
"""Limits beyond this only keep infinity out."""


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: Its dotted name.
        values: What it may be, in words.
        default: Its default as YAML; None where it must be given.
        meaning: What it does, from the text below its field.
        within: The tags of the nested types that alone have it, where others have not.
    """

    name: str
    values: str
    default: str | None
    meaning: str
    within: tuple[str, ...] = ()


def described(kind: type[Config], within: str = "") -> Iterator[Setting]:
    """Yield each setting of a type, nested ones by their dotted names.

    Args:
        kind: The type.
        within: What the names begin with.
    """
    texts = meanings(kind)
    for field in msgspec.structs.fields(kind):
        configs = _configs(field.type)
        name, meaning = f"{within}{field.encode_name}", texts.get(field.name, "")
        if not configs or field.default is None:
            words = "settings" if configs else _values(field.type)
            yield Setting(name, words, _default(field), meaning)
        if configs:
            yield from _nested(configs, f"{name}.")


def meanings(kind: type[Config]) -> dict[str, str]:
    """Return the text below each field of a type, inherited fields included.

    Returns:
        Name to text; empty where a type's source cannot be read.
    """
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each is not Config and issubclass(each, Config):
            texts |= _own_meanings(each)
    return texts


def _own_meanings(kind: type[Config]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):  # It came from no file.
        return {}
    [tree] = ast.parse(source).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    texts = {}
    for field, below in pairwise(body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                # A user writes null.
                texts[name] = re.sub(r"\bNone\b", "null", " ".join(plain(text).split()))
    return texts


def _nested(configs: list[type[Config]], within: str) -> Iterator[Setting]:
    """Yield the settings of one nested type, or of several, each once."""
    tags = {config: str(config.__struct_config__.tag) for config in configs}
    if tag := configs[0].__struct_config__.tag_field:
        usual, *_ = tags.values()
        meaning = " ".join(f"{tags[config]}: {_first_line(config)}" for config in configs)
        yield Setting(f"{within}{tag}", " | ".join(tags.values()), usual, meaning)
    settings = {config: list(described(config, within)) for config in configs}
    for setting in dict.fromkeys(one for each in settings.values() for one in each):
        of = tuple(tags[config] for config in configs if setting in settings[config])
        yield setting if len(of) == len(configs) else setting._replace(within=of)


def _first_line(kind: type[Config]) -> str:
    return first_line(plain(inspect.getdoc(kind) or ""))


def _default(field: msgspec.structs.FieldInfo) -> str | None:
    if field.required:
        return None
    value = default_of(field)
    if isinstance(value, str) and value:
        return value
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


def _values(types: Any) -> str:  # noqa: ANN401 (an annotation)
    """Return what a setting may be, in words."""
    origin, inner = get_origin(types), get_args(types)
    if origin is Annotated:
        place = _place(types)
        return _PLACES[place] if place else _bounded(_values(inner[0]), types.__metadata__)
    if origin in (Union, UnionType):
        return " or ".join("null" if one is type(None) else _values(one) for one in inner)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin in (tuple, list):
        count = f"{len(inner)} " if origin is tuple and Ellipsis not in inner else ""
        words = _values(inner[0]).replace("number", "numbers", 1).replace("text", "texts", 1)
        return f"list of {count}{words}"
    return _WORDS.get(origin or types, getattr(types, "__name__", str(types)))


def _bounded(words: str, notes: tuple[Any, ...]) -> str:
    """Return words with the limits that msgspec checks."""
    limits = [
        f"{said} {limit:g}"
        for note in notes
        for name, said in _BOUNDS.items()
        if (limit := getattr(note, name, None)) is not None and abs(limit) < _NO_BOUND
    ]
    return " ".join([words, " and ".join(limits)]) if limits else words
