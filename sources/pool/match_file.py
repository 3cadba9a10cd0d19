"""One Parquet file of a pool: which of its pairs name a class."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow
import pyarrow.parquet
from polars.exceptions import PanicException

from sources.pool.columns import Columns, UnfitFileError, columns_of
from sources.pool.matcher import MAX_CAPTION, CaptionMatcher

CHUNK = 2**20
"""Rows read at once, or a row group where that is more: memory is that of a chunk."""

SCHEMA = {
    "row": pl.Int64,
    "label": pl.Int64,
    "length": pl.Int64,
    "url": pl.String,
    "caption": pl.String,
    "nsfw": pl.String,
}


class Matches(NamedTuple):
    """What one file has to offer.

    Attributes:
        rows: Pairs in the file.
        flagged: Whether it has an NSFW column.
        found: Columns of `SCHEMA`, one row per pair and class that its caption names.
    """

    rows: int
    flagged: bool
    found: pl.DataFrame

    @classmethod
    def none(cls) -> "Matches":
        """Return what a file that cannot be scanned has to offer."""
        return cls(0, True, pl.DataFrame(schema=SCHEMA))


def match_file(path: Path, declared: Columns | None, rule: CaptionMatcher) -> Matches:
    """Look through one file; all captions are decoded once, other columns only around matches.

    Args:
        path: A Parquet file.
        declared: Its columns, where they were declared.
        rule: What to look for.

    Raises:
        UnfitFileError: If it is no Parquet file, damaged, empty, or has other columns.
    """
    with _reading():
        schema = pl.read_parquet_schema(path)
        chunks = list(_chunks(path))
    columns = columns_of(schema, declared)
    if not chunks:
        raise UnfitFileError("it has no rows")
    found = [_match(path, start, count, columns, rule) for start, count in chunks]
    return Matches(sum(count for _, count in chunks), columns.nsfw is not None, pl.concat(found))


@contextmanager
def _reading() -> Iterator[None]:
    """Say of a file that cannot be read that it is unfit; a missing one stays an error of ours."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnfitFileError(str(error)) from error
    except (pl.exceptions.PolarsError, PanicException, pyarrow.ArrowException) as error:
        raise UnfitFileError(str(error)) from error


def _chunks(path: Path) -> Iterator[tuple[int, int]]:
    """Yield first row and number of rows; no row group is cut, as half of one costs the whole."""
    metadata = pyarrow.parquet.read_metadata(path)
    start = count = 0
    for group in range(metadata.num_row_groups):
        count += metadata.row_group(group).num_rows
        if count >= CHUNK:
            yield start, count
            start, count = start + count, 0
    if count:
        yield start, count


def _match(
    path: Path, start: int, count: int, columns: Columns, rule: CaptionMatcher
) -> pl.DataFrame:
    part = pl.scan_parquet(path).slice(start, count)
    with _reading():
        captions = part.select(columns.caption).collect().to_series()
    found = rule.find(captions)
    if found.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    nsfw = pl.lit(None) if columns.nsfw is None else pl.col(columns.nsfw)
    with _reading():
        others = part.select(pl.col(columns.url).alias("url"), nsfw.alias("nsfw")).collect()
    rows = found["row"]
    named = captions.gather(rows).str.head(MAX_CAPTION).alias("caption")
    return pl.concat([others[rows], named.to_frame(), found], how="horizontal").select(
        (pl.col(name) + start if name == "row" else pl.col(name)).cast(kind)
        for name, kind in SCHEMA.items()
    )
