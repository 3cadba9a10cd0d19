"""The columns of a pool's files: found by the names that are in use, or declared in pool.yaml.

columns: {url: link, caption: alt, nsfw: rating}    # nsfw may be left out
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from bench.core.config import Config

KNOWN = {"url": ("url",), "caption": ("text", "caption"), "nsfw": ("nsfw",)}
"""Names in use, in lower case: LAION's URL, TEXT and NSFW, and Re-LAION's lower-case ones."""


class Columns(Config, frozen=True, kw_only=True):
    """The names of the columns that a scan reads."""

    url: str
    caption: str
    nsfw: str | None = None
    """LAION's flag: UNLIKELY, UNSURE or NSFW."""


class PoolDeclaration(Config, frozen=True, kw_only=True):
    """What a pool's ``pool.yaml`` may say."""

    columns: Columns


class UnfitFileError(Exception):
    """A file of a pool that cannot be scanned; the message says why, in one line."""


def columns_of(schema: Mapping[str, Any], declared: Columns | None) -> Columns:
    """Return the columns of one file.

    Args:
        schema: Column names to polars types.
        declared: What ``pool.yaml`` says; None to look for the names in use.

    Raises:
        UnfitFileError: If the file has no such columns, or no texts in them.
    """
    columns = declared or _known(list(schema))
    for name in (columns.url, columns.caption):
        if schema.get(name) != pl.String:
            found = f"is {schema[name]}, not text" if name in schema else "is not there"
            raise UnfitFileError(f"its column {name!r} {found}")
    if columns.nsfw is not None:
        # A number or a truth value would read as a flag that is never set.
        kind = schema.get(columns.nsfw)
        if not isinstance(kind, pl.String | pl.Categorical | pl.Enum | pl.Null):
            found = "is not there" if kind is None else f"is {kind}, not text"
            raise UnfitFileError(f"its column {columns.nsfw!r} {found}")
    return columns


def _known(names: list[str]) -> Columns:
    by_name = {name.lower(): name for name in reversed(names)}
    found = {
        column: next((by_name[name] for name in known if name in by_name), None)
        for column, known in KNOWN.items()
    }
    url, caption = found["url"], found["caption"]
    if url is None or caption is None:
        raise UnfitFileError(f"it has no columns URL and TEXT, but {', '.join(names)[:200]}")
    return Columns(url=url, caption=caption, nsfw=found["nsfw"])
