"""What may be written to a terminal, and what to a log file."""

import os
import shutil
import sys
from typing import TextIO
from unicodedata import combining, east_asian_width

_KEPT = "\n\t\u200c\u200d"
"""Line breaks, and the joiners that Persian, Hindi and emoji need."""

_NO_BARS = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS")


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal whose cursor moves; a dumb one's does not."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns(elsewhere: int = 80) -> int:
    """Return how many characters a line may have.

    Args:
        elsewhere: Where standard output is no terminal, such as a pipe; ``COLUMNS`` goes before.
    """
    return shutil.get_terminal_size((elsewhere, 24)).columns


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide letters two, marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text
    )


def keep_bars_out_of_logs() -> None:
    """Turn off the progress bars of libraries unless they go to a terminal.

    tqdm and the Hub's client read the environment when they are imported; workers inherit it.
    """
    if not is_terminal(sys.stderr):
        for name in _NO_BARS:
            os.environ.setdefault(name, "1")


def escaped(text: str) -> str:
    """Return a text from outside in which nothing but line breaks and tabs moves a cursor.

    Codes that set a terminal's colours, title or direction, and bytes of file names that are not
    UTF-8, become the escapes by which Python writes them.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in _KEPT else sign.encode("unicode_escape").decode()
        for sign in text
    )
