"""Parse what a user declares; an unknown name or a wrong value is refused by its name."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from bench.core.errors import RequestError, did_you_mean, unknown_name
from bench.core.json_values import Json
from bench.core.yaml_files import parse_yaml

Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
AboveZero = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Momentum = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
"""The share of something that is left out, never all of it."""

Place = Literal["path", "weights", "pool", "list"]
"""Whether a text is a path, or a name that comes before a path: of weights, of a pool, or of lists
for captions."""

PathText = Annotated[str, msgspec.Meta(extra={"place": "path"})]
WeightsText = Annotated[str, msgspec.Meta(extra={"place": "weights"})]
PoolText = Annotated[str, msgspec.Meta(extra={"place": "pool"})]
ListText = Annotated[str, msgspec.Meta(extra={"place": "list"})]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything a user may write: immutable, keyword-only, unknown keys refused.

    A field may be a `Config` itself, or one of several that a tag tells apart; the first of those
    is meant where no tag is given.
    """

    later: ClassVar[tuple[str, ...]] = ()
    """Settings that earlier specs have not: at their defaults they are left out of specs, so that
    a run stays the same run."""

    @classmethod
    def complete(cls, values: Json) -> Json:
        """Return the given values, with those added whose default depends on other values.

        What does not fit is left alone: the types are checked afterwards.
        """
        return values


T = TypeVar("T", bound=Config)

_NO_CHOICE = "Invalid enum value "
"""How msgspec begins when a value is none of a Literal's."""


def parse_config(kind: type[T], values: Json, where: str) -> T:
    """Return a config built from plain values.

    Args:
        kind: The type of the config.
        values: Field names to values; text is read as a number where a number is needed.
        where: What the values are, for the error.

    Raises:
        RequestError: If a name is unknown or a value does not fit.
    """
    if not isinstance(values, dict):
        raise RequestError(f"{where}: {values!r} is not a mapping of settings")
    values = _completed(kind, values, where, all_paths=tuple(paths(kind)))
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        why, _, place = str(error).partition(" - at `$.")
        name = f" {place.rstrip('`')}:" if place else ""
        hint = _choice(kind, place, why) if why.startswith(_NO_CHOICE) else ""
        raise RequestError(f"{where}:{name} {why[:1].lower()}{why[1:]}", hint) from error


def spec_values(config: Config) -> Json:
    """Return a config's plain values as a spec has them, without `later` settings at defaults."""
    values: Json = msgspec.to_builtins(config)
    for field in msgspec.structs.fields(config):
        value = getattr(config, field.name)
        if field.name in config.later and value == default_of(field):
            del values[field.encode_name]
        elif isinstance(value, Config):
            values[field.encode_name] = spec_values(value)
    return values


def default_of(field: msgspec.structs.FieldInfo) -> Any:  # noqa: ANN401 (any value)
    """Return the default of a setting that has one."""
    made = field.default is msgspec.NODEFAULT
    return field.default_factory() if made else field.default


def laid_over(types: Any, base: object, given: Any) -> Any:  # noqa: ANN401 (any value)
    """Return a value laid over another: mappings name by name at any depth, all else as a whole.

    Args:
        types: The type of both, a `Config` for settings. A mapping of names to numbers or texts,
            such as a mixture's parts, is one value. None where the type is not known.
        base: What is there.
        given: What is laid over it.
    """
    if not isinstance(base, dict) or not isinstance(given, dict) or _is_one_value(types):
        return given
    return base | {
        name: laid_over(_type_of(types, name), base.get(name), value)
        for name, value in given.items()
    }


def single_settings(types: Any, path: str, value: object) -> Iterator[tuple[str, object]]:  # noqa: ANN401
    """Yield the settings that a value gives: one by one, if it is a mapping of settings.

    Args:
        types: The type that has the setting, or may have it.
        path: The setting's dotted name.
        value: Its value.
    """
    kind = types
    for name in path.split("."):
        kind = _type_of(kind, name)
    if not isinstance(value, dict) or not _configs(kind):
        yield path, value
        return
    for name, inner in value.items():
        yield from single_settings(types, f"{path}.{name}", inner)


def _is_one_value(types: Any) -> bool:  # noqa: ANN401 (an annotation)
    return get_origin(types) is dict and get_args(types)[1] in (int, float, str)


def paths(kind: type[Config], within: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings, those of nested types included."""
    for name, types in _fields(kind).items():
        yield f"{within}{name}"
        for config in _configs(types):
            yield from paths(config, f"{within}{name}.")


def has_setting(kind: type[Config], path: Sequence[str], values: Json) -> bool:
    """Return whether a type has a setting, where some of its values are given.

    Args:
        kind: The type.
        path: The names that lead to the setting.
        values: The given values; of several nested types, their tag says which is meant.
    """
    name, *rest = path
    types = _fields(kind).get(name)
    if types is None or not rest:
        return types is not None
    configs = _configs(types)
    if not configs:
        return get_origin(types) is dict  # A mapping of any names.
    inner = values.get(name)
    inner = inner if isinstance(inner, dict) else {}
    return has_setting(_meant(configs, inner), rest, inner)


def _meant(configs: list[type[Config]], values: Json) -> type[Config]:
    """Return which of several types the tag among some values names; the first if there is none."""
    tag = configs[0].__struct_config__.tag_field
    named = (one for one in configs if tag and one.__struct_config__.tag == values.get(tag))
    return next(named, configs[0])


def with_places(kind: type[Config], values: Json, change: Callable[[str, Place], str]) -> Json:
    """Return complete values of a type with every text that is a place changed, nested ones too."""
    found = dict(values)
    for name, types in _fields(kind).items():
        value, place = values.get(name), _place(types)
        if isinstance(value, str) and place is not None:
            found[name] = change(value, place)
        elif isinstance(value, dict) and (configs := _configs(types)):
            found[name] = with_places(_meant(configs, value), value, change)
    return found


def _place(types: Any) -> Place | None:  # noqa: ANN401 (an annotation)
    if get_origin(types) in (Union, UnionType):
        return next(filter(None, map(_place, get_args(types))), None)
    notes = getattr(types, "__metadata__", ())
    extras = [note.extra for note in notes if isinstance(note, msgspec.Meta) and note.extra]
    return next((extra["place"] for extra in extras if "place" in extra), None)


def _fields(kind: type[Config]) -> dict[str, Any]:
    """Return the names of a type's settings, the tag's first, and their types."""
    tag = kind.__struct_config__.tag_field
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    return {tag: Literal[kind.__struct_config__.tag], **fields} if tag else fields


def _configs(types: Any) -> list[type[Config]]:  # noqa: ANN401 (an annotation)
    """Return the `Config` that a setting is, or those that it may be."""
    if isinstance(types, type) and issubclass(types, Config):
        return [types]
    if get_origin(types) not in (Union, UnionType):
        return []
    return [config for part in get_args(types) for config in _configs(part)]


def _completed(
    kind: type[Config], values: Json, where: str, within: str = "", *, all_paths: Sequence[str]
) -> Json:
    """Return values whose names, nested ones included, are known, with dependent defaults."""
    fields = _fields(kind)
    for name in values:
        if name not in fields:
            raise _unknown(kind, str(name), where, within, all_paths)
    completed = {}
    for name, value in kind.complete(values).items():
        configs = _configs(fields[name])
        if configs and isinstance(value, dict):
            place = f"{within}{name}."
            chosen, inner = _chosen(configs, value, where, place)
            completed[name] = _completed(chosen, inner, where, place, all_paths=all_paths)
        elif configs and isinstance(value, str):
            first = next(iter(_fields(configs[0])))
            raise RequestError(
                f"{where}: {within}{name}: {value!r} is not a mapping of settings",
                f"set one by its name: {within}{name}.{first}=…",
            )
        else:
            completed[name] = value
    return completed


def _unknown(
    kind: type[Config], name: str, where: str, within: str, all_paths: Sequence[str]
) -> RequestError:
    """Return the error for an unknown name; a setting of that name elsewhere is suggested first."""
    what = f"setting of {within.rstrip('.')} of {where}" if within else f"setting of {where}"
    deeper = [path for path in all_paths if "." in path and _is_called(path, name)]
    near = [path for path in deeper if path.startswith(within)] or deeper
    if near:
        return RequestError(
            f"unknown {what} {name!r}", f"did you mean {' or '.join(dict.fromkeys(near))}?"
        )
    return unknown_name(what, name, _fields(kind))


def _is_called(path: str, name: str) -> bool:
    """Return whether a nested setting has a name, or had: ``images.size`` was ``image_size``."""
    outer, _, last = path.rpartition(".")
    joined = path.replace(".", "_")
    return name in (last, joined, f"{outer.rpartition('.')[2].removesuffix('s')}_{last}")


def _chosen(
    configs: list[type[Config]], values: Json, where: str, within: str
) -> tuple[type[Config], Json]:
    """Return which of several types is meant, and the values with its tag.

    Of tagged types a null is a value that is not given: so a preset's value for another tag is
    taken back.
    """
    tag = configs[0].__struct_config__.tag_field
    if tag is None:
        return configs[0], values
    by_tag = {str(config.__struct_config__.tag): config for config in configs}
    values = {tag: next(iter(by_tag))} | {k: v for k, v in values.items() if v is not None}
    name = str(values[tag])
    if name not in by_tag:
        raise RequestError(
            f"{where}: {within}{tag}: invalid enum value {name!r}", _suggestion(name, list(by_tag))
        )
    for other in values:
        if other not in _fields(by_tag[name]) and any(other in _fields(c) for c in configs):
            raise RequestError(
                f"{where}: {within}{other} means nothing to {tag}={name}",
                "leave it out, or set it to null if the preset gives it",
            )
    return by_tag[name], values


def _choice(kind: type[Config], place: str, why: str) -> str:
    """Return which words a setting takes, the nearest first, given msgspec's place and reason."""
    types: list[Any] = [kind]
    for name in re.split(r"[.\[`]", place):
        inner = [_fields(config).get(name) for one in types for config in _configs(one)]
        types = inner or types
    return _suggestion(why.removeprefix(_NO_CHOICE).strip("'"), list(map(str, _words(types))))


def _suggestion(name: str, words: list[str]) -> str:
    return f"{did_you_mean(name, words)} there are: {', '.join(words)}" if words else ""


def _words(types: Iterable[Any]) -> Iterator[object]:
    """Yield the values of every Literal in some types."""
    for kind in types:
        if get_origin(kind) is Literal:
            yield from get_args(kind)
        else:
            yield from _words(get_args(kind))


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``a.b=value`` into its path and its value, read as YAML.

    Raises:
        RequestError: If there is no ``=`` or the value is not YAML.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise RequestError(f"--set {text!r} sets nothing", "write --set train.lr=1e-5")
    try:
        return path.strip(), parse_yaml(value)
    except ValueError as error:
        raise RequestError(f"--set {text[:100]!r}: the value is not YAML; {error}") from error


def assign(values: Json, path: list[str], value: object, types: Any = None) -> None:  # noqa: ANN401
    """Put a value at a path of nested mappings, which are made where they are missing.

    Args:
        values: The outermost mapping.
        path: The names that lead to the value.
        value: Is laid over what is there, as `laid_over` does.
        types: The type of the outermost mapping, if it is known.
    """
    for name in path[:-1]:
        inner = values.get(name)
        values[name] = inner = dict(inner) if isinstance(inner, dict) else {}
        values, types = inner, _type_of(types, name)
    values[path[-1]] = laid_over(_type_of(types, path[-1]), values.get(path[-1]), value)


def _type_of(types: Any, name: str) -> Any:  # noqa: ANN401 (annotations)
    """Return the type of a setting of a type; None if it has none."""
    fields = {key: kind for config in _configs(types) for key, kind in _fields(config).items()}
    return fields.get(name)
