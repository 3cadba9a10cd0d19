"""Folding: the spellings of one word that captions are compared under.

Compatibility characters become what they stand for (NFKC), accents go, typographic hyphens,
apostrophes and quotation marks become the keyboard's, and letters beyond ASCII become lower-case.
Every character is folded by itself, so that one table and one pass do it all.
"""

import unicodedata
from functools import cache

import polars as pl

_ACCENTS = range(0x300, 0x370)
_LETTERS = (*range(0x80, 0xD800), *range(0xE000, 0x10000), *range(0x1D400, 0x1F200))
"""What is folded: the basic plane, and beyond it the mathematical and the framed letters."""
_SAME = {
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d",
    "'": "\u00b4\u02b9\u02bb\u02bc\u02c8\u2018\u2019\u201a\u201b\u2032\uff07",
    '"': "\u201c\u201d\u201e\u201f\u2033\uff02",
    # Trade marks, soft hyphens, zero-width characters, and the mark that `sources.pool.matcher`
    # puts around words.
    "": "\u00ad\u2120\u2122\u200b\u200c\u200d\u2060\ufeff\uffff",
}


def fold(texts: pl.Series) -> pl.Series:
    """Return texts with every character beyond ASCII folded; ASCII itself stays as it is."""
    table = _table()
    return texts.str.replace_many(list(table), list(table.values()))


@cache
def _table() -> dict[str, str]:
    """Return what every character folds to, where that is another text."""
    table = {letter: _folded(letter) for letter in map(chr, _LETTERS)}
    table |= {odd: plain for plain, odds in _SAME.items() for odd in odds}
    return {letter: folded for letter, folded in table.items() if letter != folded}


def _folded(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", letter)
    bare = "".join(part for part in parts if ord(part) not in _ACCENTS)
    return unicodedata.normalize("NFKC", bare).lower()
