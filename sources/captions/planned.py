"""What the options of captions mean for a task and a writer; found out before any work."""

from typing import NamedTuple

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.task import Task
from bench.plugins.captions import CaptionWriter, Concept
from bench.plugins.optional import HasOthers, IgnoresSettings
from sources.captions.concept_lists import concepts_of, has_others, read_concepts
from sources.captions.options import KINDS, CaptionOptions
from sources.captions.phrase_lists import read_phrases


class Planned(NamedTuple):
    """What captions are made of; see `bench.plugins.captions.CaptionBrief`."""

    phrases: Json
    concepts: tuple[Concept, ...]
    weights: tuple[float, ...]


def planned(options: CaptionOptions, writer: CaptionWriter, task: Task) -> Planned:
    """Return what captions for a task are made of.

    Raises:
        RequestError: If a list cannot be read, or says what the writer or the task does not allow.
    """
    phrases = read_phrases(options.phrases)
    concepts, weights = concepts_of(options, phrases, task)
    if weights and "weights" in _ignored(writer):
        raise RequestError(
            f"the writer {options.writer} takes every concept in turn, and those of "
            f"source.captions.concepts={options.concepts} have different weights",
            "leave the weights out, or take another writer",
        )
    return Planned(phrases, concepts, weights)


def check_read(options: CaptionOptions, writer: CaptionWriter) -> None:
    """Refuse settings that mean nothing to the writer.

    Raises:
        RequestError: If there are any.
    """
    given = {"kinds": options.kinds != KINDS, "concepts": options.concepts is not None}
    for name, is_given in given.items():
        if is_given and name in _ignored(writer):
            raise RequestError(
                f"source.captions.{name} means nothing to the writer {options.writer}",
                "leave it out, or take another writer",
            )


def may_have_others(options: CaptionOptions, writer: CaptionWriter, task: Task) -> bool:
    """Return whether captions may be about something that is no class of the task."""
    if isinstance(writer, HasOthers) and writer.others(task):
        return True
    if options.concepts is None:
        return False
    return has_others(concepts_of(options, read_phrases(options.phrases), task)[0])


def read_lists(options: CaptionOptions) -> list[object]:
    """Return what the files of phrases and of concepts say, for a fingerprint."""
    concepts = [] if options.concepts is None else [read_concepts(options.concepts)]
    return [read_phrases(options.phrases), *concepts]


def _ignored(writer: CaptionWriter) -> tuple[str, ...]:
    return writer.ignored if isinstance(writer, IgnoresSettings) else ()
