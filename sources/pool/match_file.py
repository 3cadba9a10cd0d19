"""Find the pairs of one Parquet file whose caption names a class."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow
import pyarrow.parquet
from polars.exceptions import PanicException

from bench.core.files import scan_parquet
from sources.pool.columns import Columns, InvalidFileError, as_text, columns_of
from sources.pool.flags import FLAGS, flag_columns, require_probabilities
from sources.pool.matcher import MAX_CAPTION, CaptionMatcher
from sources.pool.not_parquet import not_parquet

CHUNK_ROWS = 2**20
"""Rows read at once, or a row group where that is more; this bounds the memory."""

SCHEMA = {
    "row": pl.Int64,
    "label": pl.Int64,
    "score": pl.Int64,
    "url": pl.String,
    "caption": pl.String,
    **FLAGS,
}


class Matches(NamedTuple):
    """The pairs of one file that match a class.

    Attributes:
        rows: Pairs in the file.
        has_flag: Whether it has a column that says how safe an image is.
        pairs: Columns of `SCHEMA`, one row per pair and class. The score is how well the class
            fits, here the characters of the longest spelling found.
    """

    rows: int
    has_flag: bool
    pairs: pl.DataFrame

    @classmethod
    def none(cls) -> "Matches":
        """Return the matches of a file that cannot be scanned."""
        return cls(0, True, pl.DataFrame(schema=SCHEMA))


def match_file(path: Path, declared: Columns | None, matcher: CaptionMatcher) -> Matches:
    """Return the matches of one file; only captions are decoded in full.

    Args:
        path: A Parquet file.
        declared: Its columns, where they were declared.
        matcher: Finds the classes of captions.

    Raises:
        InvalidFileError: If it is not a Parquet file, damaged, empty, has other columns, or a
            punsafe that is no probability.
    """
    columns = columns_of(schema_of(path), declared)
    with _reading():
        chunks = list(_chunks(path))
    if not chunks:
        raise InvalidFileError("it has no rows")
    pairs = [_match(path, start, count, columns, matcher) for start, count in chunks]
    return Matches(sum(count for _, count in chunks), columns.has_flag, pl.concat(pairs))


def schema_of(path: Path) -> Mapping[str, pl.DataType]:
    """Return the column names of a file, to their polars types.

    Raises:
        InvalidFileError: If it is not a Parquet file.
    """
    try:
        with _reading():
            return scan_parquet(path).collect_schema()
    except InvalidFileError as error:
        raise InvalidFileError(not_parquet(path) or str(error)) from error


@contextmanager
def _reading() -> Iterator[None]:
    """Raise damage to a file as `InvalidFileError`; a missing file remains an error of ours."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise InvalidFileError(str(error)) from error
    except (pl.exceptions.PolarsError, PanicException, pyarrow.ArrowException) as error:
        raise InvalidFileError(str(error)) from error


def _chunks(path: Path) -> Iterator[tuple[int, int]]:
    """Yield first row and number of rows; no row group is cut, as half of one costs the whole."""
    metadata = pyarrow.parquet.read_metadata(path)
    start = count = 0
    for group in range(metadata.num_row_groups):
        count += metadata.row_group(group).num_rows
        if count >= CHUNK_ROWS:
            yield start, count
            start, count = start + count, 0
    if count:
        yield start, count


def _match(
    path: Path, start: int, count: int, columns: Columns, matcher: CaptionMatcher
) -> pl.DataFrame:
    chunk = scan_parquet(path).slice(start, count)
    with _reading():
        captions = chunk.select(as_text(columns.caption)).collect().to_series()
    matches = matcher.find(captions).rename({"length": "score"})
    if matches.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    with _reading():
        others = chunk.select(as_text(columns.url).alias("url"), *flag_columns(columns)).collect()
    require_probabilities(others["punsafe"])
    rows = matches["row"]
    matched = captions.gather(rows).str.head(MAX_CAPTION).alias("caption")
    return pl.concat([others[rows], matched.to_frame(), matches], how="horizontal").select(
        (pl.col(name) + start if name == "row" else pl.col(name)).cast(kind)
        for name, kind in SCHEMA.items()
    )
