"""Show every character of a figure: in an installed font that has it, else by its number.

Names come from users, in any script, and matplotlib's own font has no Chinese or Japanese.
"""

import logging
import unicodedata
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

NOTE = "characters without a font on this machine are shown by number"

_NO_TEXT = ("Last Resort", "STIXNonUnicode", "STIXSize", "cm")
"""Begin the names of matplotlib's fonts that have boxes, or symbols under the numbers of others."""

# A family without a bold font is no news.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def numbered(text: str) -> str:
    """Return a text with numbers for the characters that no installed font has.

    Without those that only direct others (category Cf): they would turn a name around, or show as
    a box.
    """
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    _, missing = _without_font(frozenset(text), FontProperties())
    return "".join(_number(sign) if sign in missing else sign for sign in text)


def has_numbers(text: str) -> bool:
    """Return whether a text has characters that are shown by number."""
    _, missing = _without_font(frozenset(text), FontProperties())
    return any(map(_number, missing))


def add_fonts(figure: Figure) -> None:
    """Add fonts to a figure's texts for the characters that their own lacks."""
    for text in figure.findobj(Text):
        families, _ = _without_font(frozenset(text.get_text()), text.get_fontproperties())
        if families:
            text.set_fontfamily([*text.get_fontfamily(), *families])


def _without_font(signs: frozenset[str], font: FontProperties) -> tuple[list[str], set[str]]:
    """Return the further families that have characters a font lacks, and what none has."""
    visible = {sign for sign in signs if not sign.isspace()}
    missing = visible - _characters(font_manager.findfont(font))
    families = []
    for family in _families() if missing else ():
        other = font.copy()
        other.set_family(family)
        found = missing & _characters(font_manager.findfont(other))
        if found:
            families.append(family)
            missing -= found
        if not missing:
            break
    return families, missing


@cache
def _families() -> list[str]:
    """Return the installed families, in the order of their names."""
    names = {font.name for font in font_manager.fontManager.ttflist}
    return sorted(name for name in names if not name.startswith(_NO_TEXT))


@cache
def _characters(path: str) -> frozenset[str]:
    """Return the characters that a font file has; none if it cannot be read."""
    try:
        signs = map(chr, font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
    # Control characters are for no font, whatever it has under their numbers.
    return frozenset(sign for sign in signs if unicodedata.category(sign) != "Cc")


def _number(sign: str) -> str:
    """Return a character as it is written in Python, and nothing for one without a width."""
    if unicodedata.category(sign) in ("Cf", "Mn"):
        return ""
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"
