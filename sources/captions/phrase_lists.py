"""The lists that captions are made of: ``phrases/NAME.yaml`` beside this file, or a user's own."""

from pathlib import Path
from string import Formatter
from typing import Annotated, ClassVar

import msgspec

from bench.core.config import Config, laid_over, parse_config, spec_values
from bench.core.errors import RequestError, unknown_name
from bench.core.json_values import Json
from bench.core.yaml_files import read_yaml

_FOLDER = Path(__file__).with_name("phrases")
_NAMES = {"name", "subject", "a_subject"}
_ANYWHERE = {*_NAMES, "quality", "view"}
_SLOTS = {
    "class": _ANYWHERE,
    "relation": _ANYWHERE | {"relation", "thing"},
    "background": _ANYWHERE | {"background"},
}

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Texts = Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]


class _Phrases(Config, frozen=True, kw_only=True, rename={"class_": "class"}):
    """What a phrase file holds; the lists by noun need one for ``object``, which is any other."""

    class_: _Texts
    relation: _Texts
    background: _Texts
    relations: _Texts
    qualities: _Texts
    views: _Texts
    things: dict[str, _Texts]
    backgrounds: dict[str, _Texts]
    say_noun: tuple[_Text, ...] = ()
    """Nouns that are put behind a class's name, as in "737-200 aircraft" (Geng 2024, code does so
    for cars and aircraft)."""
    hypernyms: dict[str, _Text] = {}
    """What concepts are kinds of, by their names; the noun for any other."""

    later: ClassVar = ("hypernyms",)


_LIKE = "like"
"""In a phrase file, the name of one of ours that it is like, but for what it says itself."""


def read_phrases(name: str) -> Json:
    """Return the lists of a phrase file by name or by path.

    Raises:
        RequestError: If there is none, or it is malformed.
    """
    path = _FOLDER / f"{name}.yaml" if name in names() else Path(name)
    if path.suffix != ".yaml" or not path.is_file():
        raise unknown_name("list of phrases", name, names())
    phrases = spec_values(parse_config(_Phrases, _with_likeness(read_yaml(path)), str(path)))
    for kind, slots in _SLOTS.items():
        for template in phrases[kind]:
            _check(template, slots, f"{path}: {kind}")
    for lists in ("things", "backgrounds"):
        if "object" not in phrases[lists]:
            raise RequestError(f"{path}: {lists} has no list for object", "add one")
    return phrases


def _with_likeness(given: Json) -> Json:
    """Return what a phrase file says, laid over the lists that it is like."""
    if _LIKE not in given:
        return given
    base, own = str(given[_LIKE]), {key: value for key, value in given.items() if key != _LIKE}
    if base not in names():
        raise unknown_name("list of phrases", base, names())
    inherited = _with_likeness(read_yaml(_FOLDER / f"{base}.yaml"))
    return dict(laid_over(_Phrases, inherited, own))


def names() -> list[str]:
    """Return the names of the lists that ship with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def of_noun(lists: dict[str, list[str]], noun: str) -> list[str]:
    """Return the list for what all classes of a task are, or else the general one."""
    return lists.get(noun, lists["object"])


def _check(template: str, slots: set[str], where: str) -> None:
    try:
        # A format or a conversion could fail, or fill a disk.
        used = {
            "{" if form or conversion else slot
            for _, slot, form, conversion in Formatter().parse(template)
            if slot is not None
        }
    except ValueError:
        used = {"{"}
    if used - slots or not used & _NAMES:
        raise RequestError(
            f"{where}: {template!r} cannot be filled in",
            f"it needs one of {', '.join(sorted(_NAMES))}; it may hold {', '.join(sorted(slots))}",
        )
