"""The indefinite article before a name."""

import re

_SPELT_OUT = re.compile(r"[A-Z]{1,3}(?![a-z])|8")
"""Names that are read letter by letter or as a number, such as MD-80, F-16 and A330."""

_VOWEL_LETTERS = "AEFHILMNORSX8"
"""Those whose own name begins with a vowel: an F-16, an 850."""

_NOT_VOWELS = re.compile(r"(?i)(eu|uni|one)")
"""Beginnings that are written with a vowel and spoken with none: a Eurofighter."""


def with_article(name: str) -> str:
    """Return a name with ``a`` or ``an`` before it, by how it is most likely spoken."""
    if _SPELT_OUT.match(name):
        vowel = name[0] in _VOWEL_LETTERS
    else:
        vowel = name[:1].lower() in {*"aeiou"} and not _NOT_VOWELS.match(name)
    return f"{'an' if vowel else 'a'} {name}"
