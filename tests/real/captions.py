"""Captions of the pictures as pages of the web write them, and a matcher with no tricks."""

import html
import itertools
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from bench.core.task import Task
from tests.real.pictures import LANGUAGES, Picture

_SPELL: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: name.upper(),
    lambda name: f"{name}s & more",
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: f"buy {html.escape(name.title())}, cheap",
    lambda name: "".join(f"&#{ord(letter)};" for letter in name),
    lambda name: html.escape("".join(f"&#x{ord(letter):x};" for letter in name)),
    lambda name: "\u200b".join(name.split(" ")) + "\u200b (\u201cphoto\u201d)",
    lambda name: name.replace(" ", "-"),
    lambda name: name.replace(" ", "\u00a0 "),
    lambda name: f"<b>{name.casefold()}</b>_1",
)


def captioned(pictures: Iterable[Picture]) -> list[tuple[Picture, str]]:
    """Return each picture once per language that it has a name in, with a caption.

    Twelve languages and eleven spellings take turns, so that all meet.
    """
    spell = itertools.cycle(_SPELL)
    return [
        (picture, next(spell)(picture.names[language]) + f" {picture.caption}".rstrip())
        for picture in pictures
        for language in LANGUAGES
        if language in picture.names
    ]


class MatcherByHand:
    """Compares every caption with every query, as docs/retrieval.md says, one by one.

    Args:
        task: The classes and their queries.
        matcher: ``substring``, ``word``, ``phrase`` or ``all-words``.
    """

    def __init__(self, task: Task, matcher: str) -> None:
        self._contains = {
            "substring": _has_text,
            "word": _has_text_alone,
            "phrase": _has_phrase,
            "all-words": _has_words,
        }[matcher]
        self._queries = {
            name: ([_plain(text) for text in query.any], [_plain(text) for text in query.with_])
            for name in task.class_names
            for query in [task.query(name)]
        }

    def find(self, caption: str) -> set[str]:
        """Return the classes that a caption names."""
        text, contains = _plain(caption), self._contains
        return {
            name
            for name, (any_, with_) in self._queries.items()
            if any(contains(text, query) for query in any_)
            and all(contains(text, query) for query in with_)
        }


def _has_text(text: str, query: str) -> bool:
    return query in text


def _has_text_alone(text: str, query: str) -> bool:
    at = text.find(query)
    while at >= 0:
        before, after = text[max(0, at - 1) : at], text[at + len(query) : at + len(query) + 1]
        if not _in_word(before + query[0], 2) and not _in_word(query[-1] + after, 2):
            return True
        at = text.find(query, at + 1)
    return False


def _has_phrase(text: str, query: str) -> bool:
    return f" {_words(query)} " in f" {_words(text)} "


def _has_words(text: str, query: str) -> bool:
    return _word_set(query) <= _word_set(text)


@cache
def _word_set(text: str) -> frozenset[str]:
    return frozenset(_words(text).split())


@cache
def _words(text: str) -> str:
    return " ".join("".join(letter if _in_word(letter) else " " for letter in text).split())


def _in_word(letters: str, count: int = 1) -> bool:
    """Return whether these are so many letters, digits, or marks that belong to letters."""
    return len(letters) == count and all(unicodedata.category(one)[0] in "LMN" for one in letters)


def _plain(text: str) -> str:
    while (unescaped := html.unescape(text)) != text:
        text = unescaped
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in apart if not 0x300 <= ord(letter) < 0x370)
    # Format characters have no width.
    seen = "".join(letter for letter in bare if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", seen.casefold()).translate(_PLAIN)


_PLAIN = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u02bc\u2032", "'")
    | dict.fromkeys("\u201c\u201d", '"')
    | {"\u2122": None, "\ufe0e": None, "\ufe0f": None}
)
