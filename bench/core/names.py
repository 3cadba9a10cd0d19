"""Names as people and file systems spell them."""

import os
import unicodedata

from bench.core.errors import RequestError

_CONTROL = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of what no name may hold: control characters, halves of characters (bytes
that are not UTF-8), and breaks of lines and paragraphs."""


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC); macOS has é as e and an accent."""
    return unicodedata.normalize("NFC", name)


def check_utf8(what: str, text: str, where: str = "") -> None:
    """Make sure that a text from outside is UTF-8.

    Args:
        what: What it is, for the message.
        text: As Python decodes arguments, the environment and names of files.
        where: Where it was met, for the message.

    Raises:
        RequestError: If it is not.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raw = os.fsencode(text) if "\udc80" <= text[error.start] <= "\udcff" else text
        raise RequestError(
            f"{what} {raw!r}{where} is not UTF-8", "rename it (convmv renames trees)"
        ) from error


def has_control_characters(name: str) -> bool:
    """Return whether a name holds what would break a line, or what cannot be written."""
    return any(unicodedata.category(character) in _CONTROL for character in name)
