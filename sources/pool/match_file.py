"""Find the pairs of one Parquet file whose caption names a class."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow
import pyarrow.parquet
from polars.exceptions import PanicException

from bench.core.files import scan_parquet
from sources.pool.columns import WEB_URL, Columns, InvalidFileError, as_text, columns_of
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


PLACES = {
    "row": pl.Int64,
    "name": pl.String,
    "file": pl.String,
    "offset": pl.Int64,
    "size": pl.Int64,
}
"""Where the image of a pair is, of a pool that holds its images: the image's name in the pool, the
file below the pool's folder, and the bytes in it. The offset is null if it is not there. In a
Parquet file it is the row, and the size is null."""


class Matches(NamedTuple):
    """The pairs of one file that match a class.

    Attributes:
        rows: Pairs in the file.
        has_flag: Whether it has a column that says how safe an image is.
        pairs: Columns of `SCHEMA`, one row per pair and class. The score is how well the class
            fits, here the characters of the longest spelling found.
        places: Columns of `PLACES`, one row per pair, if the pool holds its images.
        problem: What of the file could not be read, in one line; nothing if all could.
    """

    rows: int
    has_flag: bool
    pairs: pl.DataFrame
    places: pl.DataFrame | None = None
    problem: str = ""

    @classmethod
    def none(cls) -> "Matches":
        """Return the matches of a file that cannot be scanned."""
        return cls(0, True, pl.DataFrame(schema=SCHEMA))

    def at(self, places: pl.DataFrame, problem: str = "") -> "Matches":
        """Return these matches with their places, and what could not be read.

        An image without an address is called by its place, such as ``00000.tar/000000012.jpg``.
        """
        named = self.pairs.join(
            places.select("row", "name"), on="row", how="left", maintain_order="left"
        )
        has_address = pl.col("url").str.contains(WEB_URL).fill_null(value=False)
        url = pl.when(has_address).then("url").otherwise("name").alias("url")
        pairs = named.with_columns(url).drop("name")
        return self._replace(pairs=pairs, places=places, problem=problem)


def match_file(
    path: Path, declared: Columns | None, matcher: CaptionMatcher, *, addressed: bool = True
) -> Matches:
    """Return the matches of one file; only captions are decoded in full.

    Args:
        path: A Parquet file.
        declared: Its columns, where they were declared.
        matcher: Finds the classes of captions.
        addressed: Whether it must have addresses; a pool that holds its images need not.

    Raises:
        InvalidFileError: If it is not a Parquet file, damaged, empty, has other columns, or a
            punsafe that is no probability.
    """
    columns = columns_of(schema_of(path), declared, addressed=addressed)
    with reading():
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
        with reading():
            return scan_parquet(path).collect_schema()
    except InvalidFileError as error:
        raise InvalidFileError(not_parquet(path) or str(error)) from error


@contextmanager
def reading() -> Iterator[None]:
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
    with reading():
        captions = chunk.select(as_text(columns.caption)).collect().to_series()
    no_url = pl.repeat(None, captions.len(), dtype=pl.String)
    url = as_text(columns.url) if columns.url else no_url

    def others() -> pl.DataFrame:
        with reading():
            return chunk.select(url.alias("url"), *flag_columns(columns)).collect()

    return match_captions(captions, others, start, matcher)


def match_captions(
    captions: pl.Series, others: Callable[[], pl.DataFrame], start: int, matcher: CaptionMatcher
) -> pl.DataFrame:
    """Return the pairs of some rows that match a class, with the columns of `SCHEMA`.

    Args:
        captions: One of each row.
        others: Returns the other columns of the rows, url and `FLAGS`; called if a caption matches.
        start: The first row's number in the file.
        matcher: Finds the classes of captions.

    Raises:
        InvalidFileError: If a punsafe is no probability.
    """
    matches = matcher.find(captions).rename({"length": "score"})
    if matches.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    rest = others()
    require_probabilities(rest["punsafe"])
    rows = matches["row"]
    matched = captions.gather(rows).str.head(MAX_CAPTION).alias("caption")
    return pl.concat([rest[rows], matched.to_frame(), matches], how="horizontal").select(
        (pl.col(name) + start if name == "row" else pl.col(name)).cast(kind)
        for name, kind in SCHEMA.items()
    )
