"""The SQL files, each read once."""

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


def schema(part: str) -> str:
    """Return what creates the ``tables`` for records, or the ``selection`` of what is in them."""
    return _named("schema.sql")[part]


def statement(name: str) -> str:
    """Return the statement that ``-- name: NAME`` stands above."""
    return _named("statements.sql")[name]


@cache
def relations() -> frozenset[str]:
    """Return the tables and views that a database has, those outside ``main`` as SCHEMA.NAME."""
    parts = _named("schema.sql").values()
    made = r"^CREATE (?:OR REPLACE )?(?:TABLE|VIEW) ([\w.]+)"
    return frozenset(name for part in parts for name in re.findall(made, part, re.MULTILINE))


@cache
def _named(file: str) -> dict[str, str]:
    text = (_FOLDER / file).read_text("utf-8")
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))
