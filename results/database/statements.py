"""The SQL files, each read once."""

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def schema() -> str:
    """Return what creates the tables and views."""
    return (_FOLDER / "schema.sql").read_text("utf-8")


def statement(name: str) -> str:
    """Return the statement that ``-- name: NAME`` stands above."""
    return _statements()[name]


@cache
def _statements() -> dict[str, str]:
    text = (_FOLDER / "statements.sql").read_text("utf-8")
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))
