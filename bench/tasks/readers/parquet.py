"""Tasks in Parquet files of the Hugging Face Hub, opened with pyarrow from a local copy.

Class names are those of the ``ClassLabel`` in the files' own metadata, where labels are numbers.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.core.arrays import LabelArray, TargetArray
from bench.core.task import NO_LABEL
from bench.tasks.readers.hub_origin import HubOrigin
from bench.tasks.readers.origin import FaultError, Listing
from bench.tasks.readers.row_groups import GroupedImages

_FEATURES = b"huggingface"
"""The key of the metadata that holds a data set's features (datasets, arrow_writer.py)."""


class ParquetOrigin(HubOrigin, frozen=True, kw_only=True, tag="parquet", omit_defaults=True):
    """A data set of the Hub in Parquet files."""

    image: str = "image"
    """The column of the images."""
    target: str = "label"
    """The column of the labels: numbers of a ``ClassLabel``, texts, or lists of either."""
    texts: tuple[str, ...] = ()
    """All texts that are labels, where a split may lack some; by default those of the split."""

    def read(self, split: str, folder: Path) -> Listing:
        """Return one split; raises as `Origin.read` does."""
        tables = [ParquetTable(file) for file in self.files(split, folder)]
        names = tables[0].class_names(self.target)
        for table in tables:
            if table.class_names(self.target) != names:
                raise FaultError(f"{table.path} has other class names than {tables[0].path}")
        labels = [label for table in tables for label in table.labels(self.target)]
        if names is None:
            names, labels = _numbered(labels, self.texts, tables[0].path)
        root = self.root(folder)
        keys = [
            f"{t.path.relative_to(root).as_posix()}:{at}" for t in tables for at in range(len(t))
        ]
        numbers, targets = _arrays(labels, len(names), tables[0].path)
        return Listing(
            names, keys, numbers, _images(tables, self.image).read, str(tables[0].path),
            targets=targets, files=[table.path for table in tables],
        )  # fmt: skip


class ParquetTable:
    """A Parquet file: its metadata, and a column of labels.

    Args:
        path: The file.

    Raises:
        FaultError: If it is not Parquet, or cut short.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                self.metadata = file.metadata
                self.schema = file.schema_arrow
        except (OSError, ValueError, pa.ArrowException) as error:
            raise FaultError(f"{path} is not a whole Parquet file: {error}") from error

    def __len__(self) -> int:
        return int(self.metadata.num_rows)

    @cached_property
    def features(self) -> dict[str, Any]:
        """The data set's features by column, as the Hub's library writes them; {} without any."""
        content = (self.schema.metadata or {}).get(_FEATURES)
        if content is None:
            return {}
        try:
            values = msgspec.json.decode(content, type=dict[str, Any])
            return dict(values["info"]["features"])
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise FaultError(f"{self.path}: its metadata `huggingface` is not readable") from error

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names of the numbers in a column of labels; None if it has texts.

        Raises:
            FaultError: If there is no such column, or its numbers have no names.
        """
        import pyarrow as pa

        kind = self.type_of(column)
        kind = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return None
        if not pa.types.is_integer(kind):
            raise FaultError(f"{self.path}: the column {column!r} holds {kind}, not labels")
        feature = self.features.get(column)
        feature = feature[0] if isinstance(feature, list) and feature else feature
        feature = feature.get("feature", feature) if isinstance(feature, dict) else {}
        names = feature.get("names") if isinstance(feature, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise FaultError(
                f"{self.path}: the numbers in {column!r} have no names: its metadata has no "
                "ClassLabel with names"
            )
        return tuple(names)

    def type_of(self, column: str) -> Any:  # noqa: ANN401 (of pyarrow)
        """Return the type of a column.

        Raises:
            FaultError: If there is none.
        """
        if column not in self.schema.names:
            there = ", ".join(self.schema.names)
            raise FaultError(f"{self.path} has no column {column!r}; there are: {there}"[:500])
        return self.schema.field(column).type

    def labels(self, column: str) -> list[Any]:
        """Return a column of labels; the images are not read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.type_of(column)
        try:
            return list(pq.read_table(self.path, columns=[column]).column(column).to_pylist())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise FaultError(f"{self.path} cannot be read: {error}") from error


def _numbered(
    labels: Sequence[Any], texts: Sequence[str], path: Path
) -> tuple[tuple[str, ...], list[Any]]:
    """Return the texts that are labels, sorted, and the labels as their numbers."""
    found = {t for label in labels for t in (label if isinstance(label, list) else [label])}
    names = tuple(texts or sorted(text for text in found if text and text.strip()))
    number: dict[str | None, int | None] = {name: at for at, name in enumerate(names)}
    if unknown := found - {None, *names}:
        raise FaultError(f"{path} has the label {min(unknown)!r}, which is no class")
    return names, [
        [number.get(text) for text in label] if isinstance(label, list) else number.get(label)
        for label in labels
    ]


def _arrays(
    labels: Sequence[Any], classes: int, path: Path
) -> tuple[LabelArray, TargetArray | None]:
    """Return labels, and targets where images have several."""
    unlabelled = [row for row, label in enumerate(labels) if label is None]
    if unlabelled:
        raise FaultError(f"{path}: row {unlabelled[0]} has no label")
    if any(isinstance(label, list) for label in labels):
        if _are_marks(labels):
            raise FaultError(
                f"{path}: the labels are lists of {len(labels[0])} zeros and ones, a mark for each "
                "class; lists of the classes that an image has are read"
            )
        targets = np.zeros((len(labels), classes), np.bool_)
        for row, several in enumerate(labels):
            for label in several:
                if label is None or not 0 <= label < classes:
                    raise FaultError(f"{path}: label {label} of row {row} is none of {classes}")
                targets[row, label] = True
        return np.full(len(labels), NO_LABEL, np.int64), targets
    return np.array(labels, np.int64), None


def _are_marks(labels: Sequence[list[Any]]) -> bool:
    """Return whether all lists are of one length and of zeros and ones, so that some repeat one."""
    lengths = {len(label) for label in labels}
    return (
        min(lengths) > 1 and len(lengths) == 1 and {one for row in labels for one in row} <= {0, 1}
    )


def _images(tables: Sequence[ParquetTable], column: str) -> GroupedImages:
    """Return the images of some files.

    Raises:
        FaultError: If one has no such column.
    """
    import pyarrow as pa

    places, start = [], 0
    inner = column
    for at, table in enumerate(tables):
        inner = f"{column}.bytes" if pa.types.is_struct(table.type_of(column)) else column
        for group in range(table.metadata.num_row_groups):
            places.append((at, group, start))
            start += table.metadata.row_group(group).num_rows
    files, groups, starts = np.array(places, np.int64).reshape(-1, 3).T
    return GroupedImages([table.path for table in tables], inner, files, groups, starts)
