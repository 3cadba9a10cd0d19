"""Undo HTML entities in captions: alternative texts of web pages keep them, often escaped twice."""

import html
import re
from functools import lru_cache

import polars as pl

# Named ones have up to 31 letters and digits (HTML, section 13.5: CounterClockwiseContourIntegral).
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")


def with_entities(texts: pl.Series) -> pl.Series:
    """Return the rows (UInt32, ascending) of texts in which an ampersand begins an entity."""
    return texts.str.contains(_ENTITY.pattern).arg_true()


def without_entities(texts: pl.Series) -> pl.Series:
    """Return texts with ``&#39;``, ``&eacute;`` and the like as the characters they stand for.

    Entities that were escaped again, ``&amp;#39;``, are too. An ampersand without a semicolon
    that ends an entity stays, as in addresses.
    """
    rows = with_entities(texts)
    return texts.clone().scatter(rows, unescaped(texts.gather(rows)))


def unescaped(texts: pl.Series) -> pl.Series:
    """Return texts that have entities without them, as `without_entities` does."""
    # In one pass: few different ones occur, and none overlaps another.
    found = texts.str.extract_all(_ENTITY.pattern).explode().drop_nulls()
    if found.is_empty():
        return texts
    entities = found.unique().to_list()
    plain = texts.str.replace_many(entities, [html.unescape(entity) for entity in entities])
    rows = with_entities(plain)
    again = [_unescaped(text) for text in plain.gather(rows)]
    return plain.scatter(rows, pl.Series(again, dtype=pl.String))


def _unescaped(text: str) -> str:
    before = ""
    # What was escaped again takes another pass; each makes the text shorter.
    while "&" in text and text != before:
        before, text = text, _ENTITY.sub(_character, text)
    return text


def _character(entity: re.Match[str]) -> str:
    return _named(entity[0])


@lru_cache
def _named(entity: str) -> str:
    return html.unescape(entity)
