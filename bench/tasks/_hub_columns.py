"""Which files of a data set of the Hub are which split, and which columns are image and label."""

import re
from collections import Counter
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bench.core.errors import RequestError
from bench.core.model_names import hub_id
from bench.core.paths import Home
from bench.core.walk import walk
from bench.tasks.folders.layout import split_of
from bench.tasks.readers.origin import FaultError
from bench.tasks.readers.parquet import ParquetOrigin, ParquetTable

_LABEL = re.compile("label|class|category|categories|target", re.IGNORECASE)
"""How columns of labels are called."""

_CHOICES = ("label", "image", "config")


@dataclass(frozen=True)
class HubName:
    """``hf:ORG/NAME@REVISION?label=COLUMN``: a data set, and which of its parts is meant.

    Attributes:
        repository: ORG/NAME.
        revision: A commit, or a tag or branch as it was when it was fetched.
        chosen: What comes after the question mark: columns of label and image, and a config.
    """

    repository: str
    revision: str
    chosen: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "HubName":
        """Return a name's parts.

        Raises:
            RequestError: If it is none.
        """
        name, _, query = text.removeprefix("hf:").partition("?")
        repository, revision = hub_id(name)
        if repository is None or revision is None:
            raise RequestError(
                f"{text[:200]!r} names no data set of the Hub",
                "write hf:ORG/NAME@REVISION; a commit as the revision keeps results reproducible",
            )
        chosen = dict(parse_qsl(query, keep_blank_values=True))
        if unknown := [key for key in chosen if key not in _CHOICES]:
            raise RequestError(
                f"{text[:200]!r}: {unknown[0]!r} is no choice", f"there are {', '.join(_CHOICES)}"
            )
        return cls(repository, revision, chosen)

    @property
    def fetched_as(self) -> str:
        """The data set's name without choices."""
        return f"hf:{self.repository}@{self.revision}"

    def folder(self, home: Home) -> Path:
        """Return where a fetched copy is."""
        return home.tasks / "hf" / f"{self.repository}@{self.revision}"


def parquet_origin(name: HubName, folder: Path) -> tuple[ParquetOrigin, tuple[str, ...], bool]:
    """Return how a fetched data set is read, its class names, and whether images have several.

    Raises:
        FaultError: If it has no images or labels, or several that may be meant.
    """
    splits = _splits(folder, name)
    table = ParquetTable(folder / next(iter(splits.values()))[0])
    image = _chosen("image", _image_columns(table), name)
    label = _chosen("label", _label_columns(table), name)
    labels = {split: _labels(folder, files, label) for split, files in splits.items()}
    known = {split: values for split, values in labels.items() if not all(map(_is_hidden, values))}
    if not known:
        raise FaultError(f"its labels in {label!r} are all hidden (-1, or empty)")
    names = table.class_names(label)
    if names is None and not name.chosen.get("label"):
        _check_texts(label, table, known, name)
    class_names = tuple(sorted(_texts(known))) if names is None else names
    origin = ParquetOrigin(
        repository=name.repository,
        revision=name.revision,
        splits={split: _pattern(splits[split]) for split in known},
        place=".",
        image=image,
        target=label,
        texts=class_names if names is None else (),
    )
    several = any(isinstance(value, list) for values in known.values() for value in values)
    return origin, class_names, several


def _labels(folder: Path, files: list[str], column: str) -> list[Any]:
    return [label for file in files for label in ParquetTable(folder / file).labels(column)]


def _is_hidden(label: Any) -> bool:  # noqa: ANN401 (of pyarrow)
    """Return whether a label says nothing: -1, empty, or nothing but such."""
    if isinstance(label, list):
        return all(map(_is_hidden, label))
    return label is None or label == -1 or (isinstance(label, str) and not label.strip())


def _check_texts(
    column: str, table: ParquetTable, labels: dict[str, list[Any]], name: HubName
) -> None:
    """Make sure that texts which nobody declared or chose are no names of files and no captions.

    Raises:
        FaultError: If numbers beside them are called labels, or most are of one image alone.
    """
    import pyarrow as pa

    fix = f"if they are labels, choose them: --task '{name.fetched_as}?label={column}'"
    integers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    numbers = [other for other in integers if _LABEL.search(other)]
    if numbers and not _LABEL.search(column):
        raise FaultError(
            f"its numbers in {numbers[0]!r} have no names, and the texts in {column!r} may be no "
            "labels",
            fix=fix,
        )
    counts = Counter(str(label) for values in labels.values() for label in values)
    lone = sum(count == 1 for count in counts.values())
    if 2 * lone > counts.total():
        raise FaultError(
            f"{lone:,} of its {counts.total():,} texts in {column!r} are of one image alone, as "
            "captions and names of files are",
            fix=fix,
        )


def _texts(labels: dict[str, list[Any]]) -> set[str]:
    cells = [cell for values in labels.values() for cell in values]
    texts = {text for cell in cells for text in (cell if isinstance(cell, list) else [cell])}
    return {text for text in texts if not _is_hidden(text)}


def _splits(folder: Path, name: HubName) -> dict[str, list[str]]:
    """Return the files of each split: ``CONFIG/SPLIT-00000-of-00001.parquet`` or ``…/SPLIT/….``."""
    found: dict[str, dict[str, list[str]]] = {}
    for path, _ in walk(folder, (".parquet",)).files:
        *folders, file = path.split("/")
        split = split_of(re.split(r"[-.]", file)[0])
        if not split and folders:
            split = split_of(folders.pop())
        if split:
            found.setdefault("/".join(folders), {}).setdefault(split, []).append(path)
    if not found:
        raise FaultError("it has no Parquet files called by a split, such as train-*.parquet")
    config = name.chosen.get("config")
    if config is not None:
        if config not in found:
            raise FaultError(f"it has no config {config!r}; there are: {', '.join(sorted(found))}")
        return found[config]
    if len(found) > 1:
        raise FaultError(
            f"it has several configs: {', '.join(sorted(found))}",
            fix=f"choose one: --task '{name.fetched_as}?config={max(found)}'",
        )
    return next(iter(found.values()))


def _pattern(files: list[str]) -> str:
    """Return the pattern of exactly these files, which are alike but for their numbers."""
    patterns = set()
    for path in files:
        folder, slash, file = path.rpartition("/")
        patterns.add(f"{escape(folder)}{slash}" + re.sub(r"\d+", "[0-9]*", escape(file)))
    if len(patterns) > 1:
        raise FaultError(f"it has a split under several names: {', '.join(files[:3])}")
    return patterns.pop()


def _image_columns(table: ParquetTable) -> list[str]:
    import pyarrow as pa

    declared = [name for name, f in table.features.items() if _type_of(f) == "Image"]
    if declared:
        return declared
    schema = table.schema
    structs = [field for field in schema if pa.types.is_struct(field.type)]
    return [f.name for f in structs if f.type.get_field_index("bytes") >= 0]


def _label_columns(table: ParquetTable) -> list[str]:
    """Return the columns of a ``ClassLabel``, or of lists of it; without any, those of texts."""
    import pyarrow as pa

    declared = [name for name, f in table.features.items() if _type_of(f) == "ClassLabel"]
    return declared or [field.name for field in table.schema if pa.types.is_string(field.type)]


def _type_of(feature: Any) -> str:  # noqa: ANN401 (JSON)
    """Return the type of a feature, of a list that of its items."""
    inner = feature[0] if isinstance(feature, list) and feature else feature
    while isinstance(inner, dict) and isinstance(inner.get("feature"), dict):
        inner = inner["feature"]
    return str(inner.get("_type", "")) if isinstance(inner, dict) else ""


def _chosen(what: str, columns: list[str], name: HubName) -> str:
    """Return the column that is meant, of those that may be."""
    if chosen := name.chosen.get(what):
        return chosen
    if not columns:
        raise FaultError(f"it has no column of {what}s", fix=f"choose one: ?{what}=COLUMN")
    if len(columns) > 1:
        raise FaultError(
            f"it has several columns of {what}s: {', '.join(columns)}",
            fix=f"choose one: --task '{name.fetched_as}?{what}={columns[-1]}'",
        )
    return columns[0]
