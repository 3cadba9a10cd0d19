"""Parquet files with a column of images, as the Hugging Face Hub has them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet

from sources.pool.columns import Columns, InvalidFileError
from sources.pool.match_file import PLACES, Matches, match_file, reading, schema_of
from sources.pool.matcher import CaptionMatcher

_USUAL_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
"""Names of columns of bytes that hold images, in lower case; `webdataset` names them by suffix."""

_BATCH = 16
"""Rows that are decoded at once: an image may take 32 MiB."""


def have_images(tables: Sequence[Path]) -> bool:
    """Return whether Parquet files have a column of images: the first that can be read decides."""
    for table in tables:
        try:
            return bool(_image_columns(schema_of(table)))
        except InvalidFileError:
            continue
    return False


def image_column(path: Path, declared: str | None) -> str:
    """Return the column that holds a file's images.

    Raises:
        InvalidFileError: If there is none, or more than one.
    """
    schema = schema_of(path)
    if declared is not None:
        if not _holds_bytes(schema.get(declared)):
            raise InvalidFileError(f"its column {declared!r} holds no images")
        return declared
    columns = _image_columns(schema)
    if len(columns) != 1:
        found = f"images in {', '.join(map(repr, columns))}" if columns else "no column of images"
        raise InvalidFileError(f"it has {found}: choose by image: COLUMN in pool.yaml")
    return columns[0]


def match_table(
    path: Path, root: Path, columns: Columns | None, image: str | None, matcher: CaptionMatcher
) -> Matches:
    """Return the matches of a Parquet file that holds its images; an image's name is its row.

    Args:
        path: The file.
        root: The pool's folder.
        columns: Those that are declared.
        image: The column of images that is declared.
        matcher: Finds the classes of captions.

    Raises:
        InvalidFileError: If it cannot be scanned, or has no images.
    """
    image_column(path, image)
    matches = match_file(path, columns, matcher, addressed=False)
    file = path.relative_to(root).as_posix()
    places = matches.pairs.select("row").unique().sort("row")
    places = places.with_columns(
        name=pl.format("{}/{}", pl.lit(file), "row"),
        file=pl.lit(file),
        offset="row",
        size=pl.lit(None, pl.Int64),
    )
    return matches.at(places.select(*PLACES))


def images_of(path: Path, column: str, rows: Sequence[int]) -> Iterator[bytes | None]:
    """Yield the images of some rows, ascending; None where there is none.

    Row groups without any of them are not read.

    Raises:
        InvalidFileError: If the file is damaged.
    """
    wanted, at = list(rows), 0
    with reading(), pyarrow.parquet.ParquetFile(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if at < len(wanted) and wanted[at] < end:
                for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[column]):
                    while at < len(wanted) and wanted[at] < first + len(batch):
                        yield _bytes_in(batch.column(0)[wanted[at] - first].as_py())
                        at += 1
                    first += len(batch)
                    if at == len(wanted):
                        return
            first = end


def _bytes_in(value: Any) -> bytes | None:  # noqa: ANN401 (bytes, or a mapping with them)
    return value.get("bytes") if isinstance(value, dict) else value


def _image_columns(schema: Mapping[str, Any]) -> list[str]:
    structs = [
        name for name, kind in schema.items() if isinstance(kind, pl.Struct) and _holds_bytes(kind)
    ]
    return structs or [
        name for name, kind in schema.items() if name.lower() in _USUAL_NAMES and _holds_bytes(kind)
    ]


def _holds_bytes(kind: object) -> bool:
    if isinstance(kind, pl.Struct):
        return any(field.name == "bytes" and field.dtype == pl.Binary for field in kind.fields)
    return kind == pl.Binary
