"""Find the columns of a pool's files, by the usual names or by the declaration in pool.yaml.

columns: {url: link, caption: alt, nsfw: rating}    # nsfw and punsafe may be left out
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from bench.core.config import Config

USUAL_NAMES = {
    "url": ("url",),
    "caption": ("text", "caption"),
    "nsfw": ("nsfw",),
    "punsafe": ("punsafe",),
}
"""In lower case: LAION's URL, TEXT, NSFW and punsafe, and Re-LAION's lower-case names."""


class Columns(Config, frozen=True, kw_only=True):
    """The names of the columns that a scan reads."""

    url: str
    caption: str
    nsfw: str | None = None
    """LAION's flag: UNLIKELY, UNSURE or NSFW."""
    punsafe: str | None = None
    """LAION's probability that the image is unsafe, from 0 to 1."""

    @property
    def has_flag(self) -> bool:
        """Whether anything says how safe an image is."""
        return self.nsfw is not None or self.punsafe is not None


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
        InvalidFileError: If the file has no such columns, or they do not hold texts (for punsafe,
            fractional numbers).
    """
    columns = declared or _usual_columns(list(schema))
    for name in (columns.url, columns.caption):
        _require_type(schema, name, "text", pl.String)
    if columns.nsfw is not None:
        # A number or a truth value would read as a flag that is never set.
        texts = (pl.String, pl.Categorical, pl.Enum, pl.Null)
        _require_type(schema, columns.nsfw, "text", *texts)
    if columns.punsafe is not None:
        floats = (pl.Float32, pl.Float64, pl.Null)
        _require_type(schema, columns.punsafe, "a probability", *floats)
    return columns


def _require_type(
    schema: Mapping[str, Any], name: str, kind: str, *types: type[pl.DataType]
) -> None:
    if name not in schema:
        raise InvalidFileError(f"its column {name!r} is missing")
    if not isinstance(schema[name], types):
        raise InvalidFileError(f"its column {name!r} is {schema[name]}, not {kind}")


def _usual_columns(names: list[str]) -> Columns:
    by_name = {name.lower(): name for name in reversed(names)}
    columns = {
        column: next((by_name[name] for name in usual if name in by_name), None)
        for column, usual in USUAL_NAMES.items()
    }
    url, caption = columns["url"], columns["caption"]
    if url is None or caption is None:
        raise InvalidFileError(f"it has no columns URL and TEXT, but {', '.join(names)[:200]}")
    return Columns(url=url, caption=caption, nsfw=columns["nsfw"], punsafe=columns["punsafe"])
