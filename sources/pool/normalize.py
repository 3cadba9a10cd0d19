"""Normalize text, so that the spellings of one word compare as equal.

What was written as several characters becomes one where there is one (NFC): syllables of Hangul,
vowels of Tamil. Compatibility characters then become what they stand for (NFKC), and accents are
removed. Typographic hyphens, apostrophes and quotation marks become ASCII. Letters beyond ASCII
lose their case as Unicode folds it: a final sigma is a sigma, and a sharp s is ss. Once composed,
every character is normalized by itself, so that one table and one pass suffice.
"""

import unicodedata
from functools import cache

import polars as pl

_ACCENTS = range(0x300, 0x370)
_LETTERS = (*range(0x80, 0xD800), *range(0xE000, 0x10000), *range(0x1D400, 0x1F200))
"""The basic plane, and beyond it the mathematical and the framed letters."""
_SAME = {
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d",
    "'": "\u00b4\u02b9\u02bb\u02bc\u02c8\u2018\u2019\u201a\u201b\u2032\uff07",
    '"': "\u201c\u201d\u201e\u201f\u2033\uff02",
    # Trade marks, soft hyphens, characters without a width (marks of direction and of variants
    # among them), and the mark that `sources.pool.matcher` puts around words.
    "": "\u00ad\u2120\u2122\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff\uffff",
}

_COMPOSABLE = r"[\p{M}\x{1161}-\x{11FF}]"
"""What NFC joins with the character before it: marks, and the later letters of Hangul."""


def normalize(texts: pl.Series) -> pl.Series:
    """Return texts with every character beyond ASCII normalized; ASCII itself stays as it is."""
    table = _table()
    apart = texts.str.contains(_COMPOSABLE).arg_true()
    composed = texts.clone().scatter(apart, texts.gather(apart).str.normalize("NFC"))
    return composed.str.replace_many(list(table), list(table.values()))


@cache
def _table() -> dict[str, str]:
    """Return every character that is replaced, with its replacement."""
    table = {letter: _normalized(letter) for letter in map(chr, _LETTERS)}
    table |= {odd: plain for plain, odds in _SAME.items() for odd in odds}
    return {letter: replacement for letter, replacement in table.items() if letter != replacement}


def _normalized(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", letter)
    bare = "".join(part for part in parts if ord(part) not in _ACCENTS)
    return unicodedata.normalize("NFKC", bare.casefold())
