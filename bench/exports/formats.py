"""Write images in the layouts that `webdataset`, torchvision and `datasets` read."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet

from bench.core.json_values import canonical_json
from bench.exports.items import Item
from bench.storage.tar_shards import ShardWriter

Format = Literal["webdataset", "imagefolder", "parquet"]

_PER_FILE = 10_000
_PER_ROW_GROUP = 100
"""As `datasets` writes images: a reader of one image decodes as many."""

_TEXTS = ("class_name", "key", "caption", "pair", "origin", "url", "sha256", "source", "maker")
_NUMBERS = {
    "copy": "int64",
    "seed": "int64",
    "clip_score": "float32",
    "width": "int32",
    "height": "int32",
}

METADATA = "metadata.jsonl"

OTHERS = "others"
"""The folder of images of no class, unless a class is called so."""


def write_webdataset(folder: Path, images: Iterator[Item], class_names: Sequence[str]) -> None:
    """Write tars of ``NAME.jpg``, ``NAME.cls``, ``NAME.txt`` and ``NAME.json``.

    `datasets` wants the same of every image, so the text of one without caption is empty.
    """
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in class_names), "utf-8")
    for number, some in enumerate(_files(images)):
        with ShardWriter(folder / f"{number:05d}.tar") as writer:
            for item in some:
                writer.add(item.name, item.content, item.suffix)
                writer.add(item.name, str(item.label).encode(), ".cls")
                writer.add(item.name, (item.facts["caption"] or "").encode(), ".txt")
                facts = {"label": item.label, **item.facts}
                writer.add(item.name, canonical_json(facts), ".json")


def write_imagefolder(folder: Path, images: Iterator[Item], class_names: Sequence[str]) -> None:
    """Write a folder per class with images, one for what has none, and ``metadata.jsonl``."""
    names = folder_names([*class_names, OTHERS])  # The last one is that of `NO_LABEL`.
    with (folder / METADATA).open("xb") as metadata:
        for item in images:
            place = Path(names[item.label]) / f"{item.name}{item.suffix}"
            (folder / place.parent).mkdir(exist_ok=True)
            (folder / place).write_bytes(item.content)
            line = {"file_name": place.as_posix(), "label": item.label, **item.facts}
            metadata.write(msgspec.json.encode(line) + b"\n")


def write_parquet_files(folder: Path, images: Iterator[Item], class_names: Sequence[str]) -> None:
    """Write Parquet files with a column of images and the types that `datasets` looks for."""
    schema, data = _schema(class_names), folder / "data"
    data.mkdir()
    for number, some in enumerate(_files(images)):
        with pyarrow.parquet.ParquetWriter(data / f"train-{number:05d}.parquet", schema) as writer:
            while group := list(islice(some, _PER_ROW_GROUP)):
                rows = [_row(item) for item in group]
                writer.write_table(pa.Table.from_pylist(rows, schema))


WRITERS: dict[Format, Callable[[Path, Iterator[Item], Sequence[str]], None]] = {
    "webdataset": write_webdataset,
    "imagefolder": write_imagefolder,
    "parquet": write_parquet_files,
}

DATA_FILES: dict[Format, str] = {
    "webdataset": "*.tar",
    "imagefolder": "**",
    "parquet": "data/*.parquet",
}
"""The files that `datasets` is to read of each."""


def folder_names(class_names: Sequence[str]) -> list[str]:
    """Return a folder's name for each class: what no file system takes becomes ``_``.

    Where two classes would share a folder, or one would take the place of a file beside the
    folders, the label tells them apart.
    """
    safe = [re.sub(r'[/\\:*?"<>|]|^\.|[. ]$', "_", name) for name in class_names]
    folded = [*(name.casefold() for name in safe), "readme.md", "metadata.jsonl"]
    return [
        f"{name} ({label})" if folded.count(folded[label]) > 1 else name
        for label, name in enumerate(safe)
    ]


def _files(images: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """Yield the images of one file after another; each is used up before the next."""
    for first in images:
        yield (item for part in ([first], islice(images, _PER_FILE - 1)) for item in part)


def _row(item: Item) -> dict[str, Any]:
    image = {"bytes": item.content, "path": f"{item.name}{item.suffix}"}
    return {"image": image, "label": item.label, **item.facts}


def _schema(class_names: Sequence[str]) -> pa.Schema:
    """Return the columns, with the note that tells `datasets` of images and class names."""
    fields = [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
        *((name, pa.string()) for name in _TEXTS),
        *((name, getattr(pa, kind)()) for name, kind in _NUMBERS.items()),
    ]
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(class_names), "_type": "ClassLabel"},
        **{name: {"dtype": "string", "_type": "Value"} for name in _TEXTS},
        **{name: {"dtype": kind, "_type": "Value"} for name, kind in _NUMBERS.items()},
    }
    note = canonical_json({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": note})
