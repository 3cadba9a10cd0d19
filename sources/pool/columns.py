"""Find the columns of a pool's files, by the usual names or by the declaration in pool.yaml.

columns: {url: link, caption: alt, nsfw: rating}    # nsfw and punsafe may be left out
"""

import re
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

WEB_URL = "(?i)^https?://"
"""What an address begins with."""

_TEXTS = (pl.String, pl.Categorical, pl.Enum, pl.Binary)
"""Types of texts: plain, as a dictionary, and as bytes of UTF-8."""


class Columns(Config, frozen=True, kw_only=True):
    """The names of the columns that a scan reads."""

    url: str = ""
    """The images' addresses; empty where a pool holds its images and has none."""
    caption: str
    nsfw: str | None = None
    """LAION's flag: UNLIKELY, UNSURE or NSFW."""
    punsafe: str | None = None
    """LAION's probability that the image is unsafe, from 0 to 1."""

    @property
    def has_flag(self) -> bool:
        """Whether anything says how safe an image is."""
        return self.nsfw is not None or self.punsafe is not None


class InvalidFileError(Exception):
    """A file that cannot be scanned; the message says why, in one line."""


def columns_of(
    schema: Mapping[str, Any], declared: Columns | None, *, addressed: bool = True
) -> Columns:
    """Return the columns of one file.

    Args:
        schema: Column names to polars types.
        declared: What ``pool.yaml`` says; None to look for the usual names.
        addressed: Whether it must have addresses; a pool that holds its images need not.

    Raises:
        InvalidFileError: If the file has no such columns, or they do not hold texts (for punsafe,
            fractional numbers).
    """
    columns = declared or _usual_columns(list(schema), addressed=addressed)
    for name in filter(None, (columns.url, columns.caption)):
        _require_type(schema, name, "text", *_TEXTS)
    if columns.nsfw is not None:
        # A number or a truth value would read as a flag that is never set.
        texts = (pl.String, pl.Categorical, pl.Enum, pl.Null)
        _require_type(schema, columns.nsfw, "text", *texts)
    if columns.punsafe is not None:
        floats = (pl.Float32, pl.Float64, pl.Null)
        _require_type(schema, columns.punsafe, "a probability", *floats)
    return columns


def as_text(name: str) -> pl.Expr:
    """Return the expression for a column of texts, whatever its type."""
    return pl.col(name).cast(pl.String)


def choice_note(schema: Mapping[str, Any], *, addressed: bool = True) -> str:
    """Return the line that says what is read where several columns may be meant; else nothing.

    LAION-COCO has TEXT and top_caption. A column may be meant if it holds texts, and one of the
    usual names is a word of its own.

    Args:
        schema: Column names to polars types of a file without declared columns.
        addressed: As of `columns_of`.

    Raises:
        InvalidFileError: If the file has no such columns.
    """
    columns = columns_of(schema, None, addressed=addressed)
    named = {"url": columns.url, "caption": columns.caption}
    chosen = {column: name for column, name in named.items() if name}
    read = set(chosen.values())
    texts = [name for name, kind in schema.items() if isinstance(kind, _TEXTS) and name not in read]
    doubts = {
        name: [other for other in texts if set(USUAL_NAMES[column]) & set(_words(other))]
        for column, name in chosen.items()
    }
    said = [f"{name!r}, not {', '.join(map(repr, also))}" for name, also in doubts.items() if also]
    if not said:
        return ""
    return (
        f"of the pool's columns these are read: {'; '.join(said)} "
        f"(to choose, write a pool.yaml beside the files: columns: {{{_listed(chosen)}}})"
    )


def _listed(names: Mapping[str, str]) -> str:
    return ", ".join(f"{column}: {name}" for column, name in names.items())


def _words(name: str) -> list[str]:
    return re.split(r"[\W_]+", name.lower())


def _require_type(
    schema: Mapping[str, Any], name: str, kind: str, *types: type[pl.DataType]
) -> None:
    if name not in schema:
        raise InvalidFileError(f"its column {name!r} is missing")
    if not isinstance(schema[name], types):
        raise InvalidFileError(f"its column {name!r} is {schema[name]}, not {kind}")


def _usual_columns(names: list[str], *, addressed: bool) -> Columns:
    by_name = {name.lower(): name for name in reversed(names)}
    columns = {
        column: next((by_name[name] for name in usual if name in by_name), None)
        for column, usual in USUAL_NAMES.items()
    }
    url, caption = columns["url"], columns["caption"]
    if caption is None or (addressed and url is None):
        wanted = "columns URL and TEXT (or caption)" if addressed else "column TEXT (or caption)"
        raise InvalidFileError(f"it has no {wanted}, but {', '.join(names)[:200]}")
    return Columns(url=url or "", caption=caption, nsfw=columns["nsfw"], punsafe=columns["punsafe"])
