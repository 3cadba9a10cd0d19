"""Find the columns of a pool's files, by the usual names or by the declaration in pool.yaml.

columns: {url: link, caption: alt, nsfw: rating}    # nsfw may be left out
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from bench.core.config import Config

USUAL_NAMES = {"url": ("url",), "caption": ("text", "caption"), "nsfw": ("nsfw",)}
"""In lower case: LAION's URL, TEXT and NSFW, and Re-LAION's lower-case names."""


class Columns(Config, frozen=True, kw_only=True):
    """The names of the columns that a scan reads."""

    url: str
    caption: str
    nsfw: str | None = None
    """LAION's flag: UNLIKELY, UNSURE or NSFW."""


class PoolDeclaration(Config, frozen=True, kw_only=True):
    """The content of a pool's ``pool.yaml``."""

    columns: Columns


class InvalidFileError(Exception):
    """A file that cannot be scanned; the message says why, in one line."""


def columns_of(schema: Mapping[str, Any], declared: Columns | None) -> Columns:
    """Return the columns of one file.

    Args:
        schema: Column names to polars types.
        declared: What ``pool.yaml`` says; None to look for the usual names.

    Raises:
        InvalidFileError: If the file has no such columns, or they do not hold texts.
    """
    columns = declared or _usual_columns(list(schema))
    for name in (columns.url, columns.caption):
        _require_type(schema, name, pl.String)
    if columns.nsfw is not None:
        # A number or a truth value would read as a flag that is never set.
        _require_type(schema, columns.nsfw, pl.String, pl.Categorical, pl.Enum, pl.Null)
    return columns


def _require_type(schema: Mapping[str, Any], name: str, *types: type[pl.DataType]) -> None:
    if name not in schema:
        raise InvalidFileError(f"its column {name!r} is missing")
    if not isinstance(schema[name], types):
        raise InvalidFileError(f"its column {name!r} is {schema[name]}, not text")


def _usual_columns(names: list[str]) -> Columns:
    by_name = {name.lower(): name for name in reversed(names)}
    columns = {
        column: next((by_name[name] for name in usual if name in by_name), None)
        for column, usual in USUAL_NAMES.items()
    }
    url, caption = columns["url"], columns["caption"]
    if url is None or caption is None:
        raise InvalidFileError(f"it has no columns URL and TEXT, but {', '.join(names)[:200]}")
    return Columns(url=url, caption=caption, nsfw=columns["nsfw"])
