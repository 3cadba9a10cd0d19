"""One table of labelled images, written as each vendor would have it."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Table = dict[str, list[str]]
"""Split to the class name of each of its images."""

REPOSITORY = "lab/fruit"


def encoded(at: int) -> bytes:
    """Return a small PNG whose colour follows from a number."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (at % 256, at // 256 % 256, 90)).save(stream, "PNG")
    return stream.getvalue()


def numbered(table: Table) -> dict[str, list[tuple[int, str]]]:
    """Return the images of a table with a number each, no number twice."""
    numbers = iter(range(1_000_000))
    return {split: [(next(numbers), name) for name in listed] for split, listed in table.items()}


def features(names: Sequence[str] | None) -> bytes:
    """Return the metadata that the Hub's library writes, with or without names of classes."""
    label: dict[str, Any] = {"_type": "ClassLabel"} | ({} if names is None else {"names": names})
    return json.dumps(
        {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    ).encode()


def write_parquet(
    folder: Path, table: Table, names: Sequence[str] | None, *, labels: Any = None, rows: int = 2
) -> None:
    """Write a data set of the Hub in Parquet.

    Args:
        folder: The repository's copy.
        table: The images.
        names: The ``ClassLabel``'s names, in the vendor's order; None for labels as texts.
        labels: Returns a cell of the column of labels from a class name; by default its number.
        rows: Rows in a row group.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    cell = labels or (lambda name: name if names is None else list(names).index(name))
    for split, images in numbered(table).items():
        columns = pa.table(
            {
                "image": [{"bytes": encoded(at), "path": f"{at}.png"} for at, _ in images],
                "label": [cell(name) for _, name in images],
            }
        )
        if names is not None:
            columns = columns.replace_schema_metadata({b"huggingface": features(names)})
        pq.write_table(
            columns, folder / f"data/{split}-00000-of-00001.parquet", row_group_size=rows
        )


def write_webdataset(folder: Path, table: Table, names: Sequence[str], *, first: int = 0) -> None:
    """Write a data set as CLIP-benchmark has it, two images a tar; labels count from `first`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in names))
    for split, images in numbered(table).items():
        (folder / split).mkdir(exist_ok=True)
        tars = [images[start : start + 2] for start in range(0, len(images), 2)]
        (folder / split / "nshards.txt").write_text(str(len(tars)))
        for at, members in enumerate(tars):
            with tarfile.open(folder / split / f"{at}.tar", "w") as tar:
                for number, name in members:
                    _add(tar, f"s{number:07d}.png", encoded(number))
                    label = str(list(names).index(name) + first).encode()
                    _add(tar, f"s{number:07d}.cls", label)


def write_folders(folder: Path, table: Table) -> None:
    """Write a data set as class folders."""
    for split, images in numbered(table).items():
        for number, name in images:
            path = folder / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(number))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
