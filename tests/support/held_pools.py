"""Pools that hold their images, of a few rows: as tars, as Parquet files, as a folder."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tests.support.pictures import photograph, written

Pair = Mapping[str, Any]
"""Of an image: ``caption``, and where given ``url``, ``image`` (bytes) and more columns."""


def image(pair: Pair, at: int) -> bytes:
    content: bytes = pair.get("image") or written(photograph(at), "PNG")
    return content


def texts(pair: Pair) -> dict[str, Any]:
    return {name: value for name, value in pair.items() if name not in {"image", "status"}}


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_tar(
    path: Path, pairs: Sequence[Pair], *, members: Sequence[str] = ("txt", "json")
) -> None:
    """Write a tar of pairs; those with a status are not in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for at, pair in enumerate(pairs):
            if "status" in pair:
                continue
            add(tar, f"{at:09d}.png", image(pair, at))
            if "txt" in members and pair.get("caption") is not None:
                add(tar, f"{at:09d}.txt", pair["caption"].encode())
            if "json" in members:
                add(tar, f"{at:09d}.json", json.dumps(texts(pair)).encode())


def write_sidecar(tar: Path, pairs: Sequence[Pair]) -> None:
    rows = [
        {"key": f"{at:09d}", "status": pair.get("status", "success"), **texts(pair)}
        for at, pair in enumerate(pairs)
    ]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(tar.with_suffix(".parquet"))


def write_table(path: Path, pairs: Sequence[Pair], *, struct: bool = True, group: int = 7) -> None:
    """Write a Parquet file of small row groups, its images as the Hub has them or as bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [image(pair, at) for at, pair in enumerate(pairs)]
    held: list[Any] = [{"bytes": each, "path": "same.png"} for each in images] if struct else images
    table = pl.DataFrame([texts(pair) for pair in pairs], infer_schema_length=None)
    table.with_columns(pl.Series("image", held)).write_parquet(path, row_group_size=group)


def write_folder(root: Path, pairs: Sequence[Pair]) -> None:
    """Write images below a folder, and its metadata.jsonl."""
    (root / "some").mkdir(parents=True, exist_ok=True)
    lines = []
    for at, pair in enumerate(pairs):
        (root / "some" / f"{at}.png").write_bytes(image(pair, at))
        lines.append(json.dumps({"file_name": f"some/{at}.png", **texts(pair)}))
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
