"""What captions are about: the classes of the task, or a list of concepts, ours or the user's."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate
from math import isclose, isfinite
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from bench.core.config import AboveZero, Config, parse_config
from bench.core.errors import RequestError, unknown_name
from bench.core.json_values import Json
from bench.core.names import composed
from bench.core.task import NO_LABEL, Task
from bench.core.yaml_files import read_yaml
from bench.plugins.captions import Concept
from bench.tasks import find_task
from sources.captions.check import form_fault
from sources.captions.options import CaptionOptions, Kind

_FOLDER = Path(__file__).with_name("concepts")

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Texts = Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]
_Entries = Annotated[tuple[Any, ...], msgspec.Meta(min_length=1)]


class _File(Config, frozen=True, kw_only=True):
    """What a file of concepts holds."""

    concepts: _Entries


class _Entry(Config, frozen=True, kw_only=True, rename={"list_": "list"}):
    """Some concepts that are alike: named here, or the classes of a task."""

    name: _Text | _Texts | None = None
    task: _Text | None = None
    weight: AboveZero = 1.0
    """Of all of them together; weights are divided by their sum."""
    list_: _Text | None = None
    """The phrases' lists of things and backgrounds that they take, by a noun."""
    kinds: tuple[Kind, ...] = ()
    """The kinds of captions that they have; all, if there are none here."""


class Listed(NamedTuple):
    """One concept of a list."""

    concept: Concept
    """Not known as a class of the task yet."""
    weight: float
    phrases: str | None
    """The phrases' lists that it is to take, where its entry says so."""


def read_concepts(name: str) -> list[Listed]:
    """Return the concepts of a list by name or by path.

    Raises:
        RequestError: If there is none, it is malformed, its weights have no finite sum, or it names
            a task that is not there.
    """
    path = _FOLDER / f"{name}.yaml" if name in names() else Path(name)
    if path.suffix != ".yaml":
        raise unknown_name("list of concepts", name, names())
    entries = parse_config(_File, read_yaml(path), str(path)).concepts
    classes = cache(_classes_of_task)  # Of this list alone: folders of tasks change.
    listed = [
        one for place, entry in enumerate(entries) for one in _listed(entry, path, place, classes)
    ]
    if not isfinite(sum(one.weight for one in listed)):
        raise RequestError(f"{path}: the weights have no finite sum", "give smaller ones")
    return listed


def names() -> list[str]:
    """Return the names of the lists that ship with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def classes_of(task: Task) -> tuple[Concept, ...]:
    """Return the classes of a task as concepts, in their order."""
    return tuple(
        Concept(
            label=label,
            name=name,
            prompt_name=task.prompt_name(name),
            spellings=(*task.query(name).any, name, task.prompt_name(name)),
            noun=task.noun,
        )
        for label, name in enumerate(task.class_names)
    )


def concepts_of(
    options: CaptionOptions, phrases: Json, task: Task
) -> tuple[tuple[Concept, ...], tuple[float, ...]]:
    """Return what captions for a task are about, and the weights that `CaptionBrief` has.

    A concept that has the name of a class of the task, in any case, is that class.

    Raises:
        RequestError: If the options' list cannot be read, or needs phrases or kinds of captions
            that the options leave out.
    """
    classes = classes_of(task)
    if options.concepts is None:
        return classes, ()
    listed = read_concepts(options.concepts)
    by_name = {concept.name.casefold(): concept for concept in classes}
    for one in listed:
        _check(one, options, phrases)
    concepts = tuple(
        _recognised(one.concept, by_name.get(one.concept.name.casefold())) for one in listed
    )
    weights = [one.weight for one in listed]
    if all(isclose(weight, weights[0]) for weight in weights):
        return concepts, ()
    return concepts, tuple(accumulate(weights))


def has_others(concepts: Sequence[Concept]) -> bool:
    """Return whether some concepts are no classes of the task."""
    return any(concept.label == NO_LABEL for concept in concepts)


def _classes_of_task(name: str) -> list[Concept]:
    return [replace(one, label=NO_LABEL) for one in classes_of(find_task(name))]


def _listed(
    entry: object, path: Path, place: int, classes: Callable[[str], list[Concept]]
) -> Iterator[Listed]:
    where = f"{path}: concepts[{place}]"
    if not isinstance(entry, dict):
        raise RequestError(f"{where} is not a mapping", "write it as - {name: rose, weight: 2}")
    given = parse_config(_Entry, entry, where)
    if (given.name is None) == (given.task is None):
        raise RequestError(f"{where} has both or neither of name and task", "give it one of them")
    if given.task is not None:
        concepts = classes(given.task)
    else:
        named = (given.name,) if isinstance(given.name, str) else given.name or ()
        concepts = [_named(name, where) for name in named]
    for one in concepts:
        concept = replace(one, noun=given.list_ or one.noun, kinds=given.kinds)
        yield Listed(concept, given.weight / len(concepts), given.list_)


def _named(name: str, where: str) -> Concept:
    name = composed(name.strip())
    if fault := form_fault(name):
        raise RequestError(
            f"{where}: no caption can have the name {name!r}: {fault}",
            "give it letters, on one line, and no invisible characters",
        )
    return Concept(NO_LABEL, name, name, (name,), noun="")


def _recognised(concept: Concept, of_task: Concept | None) -> Concept:
    """Return a listed concept as the class of the task that it is, if it is one."""
    if of_task is None:
        return replace(concept, noun=concept.noun or "object")
    return replace(of_task, noun=concept.noun or of_task.noun, kinds=concept.kinds)


def _check(listed: Listed, options: CaptionOptions, phrases: Json) -> None:
    concept, nouns = listed.concept, phrases["backgrounds"]
    if concept.kinds and not {*concept.kinds} & {*options.kinds}:
        raise RequestError(
            f"the concept {concept.name!r} has captions of {' and '.join(concept.kinds)} alone, "
            "which source.captions.kinds leaves out",
            "give that kind a share, or take another list of concepts",
        )
    if listed.phrases is not None and listed.phrases not in nouns:
        what = f"list of the phrases {options.phrases}"
        raise unknown_name(f"{what} for the concept {concept.name!r}:", listed.phrases, nouns)
