"""What a pool is: addresses of images, or images that lie on the disk."""

from pathlib import Path
from typing import Literal

from bench.core.config import Config
from bench.core.errors import RequestError
from bench.core.walk import Tree, walk
from bench.storage.image_codec import IMAGE_SUFFIXES
from sources.pool.columns import Columns
from sources.pool.image_table import have_images

Kind = Literal["addresses", "tars", "parquet", "folder"]
"""Parquet files of addresses; tars of images; Parquet files of images; a folder of images."""

WORDS: dict[Kind, str] = {
    "addresses": "Parquet files of addresses",
    "tars": "tars that hold their images",
    "parquet": "Parquet files that hold their images",
    "folder": "a folder of images with metadata.jsonl",
}

DECLARATION = "pool.yaml"
METADATA = "metadata.jsonl"
PARQUET = ".parquet"
_TAR = ".tar"


class PoolDeclaration(Config, frozen=True, kw_only=True):
    """The content of a pool's ``pool.yaml``."""

    columns: Columns | None = None
    kind: Kind | None = None
    """What the pool is, where more than one answer fits."""
    image: str | None = None
    """The column of the images in Parquet files that hold them."""


def read_tree(folder: Path, kind: Kind) -> Tree:
    """Return the files that a pool of a kind is made of, with its declaration."""
    match kind:
        case "tars":
            return walk(folder, (_TAR, PARQUET), (DECLARATION,))
        case "folder":
            return walk(folder, (METADATA, *IMAGE_SUFFIXES), (DECLARATION,))
    return walk(folder, (PARQUET,), (DECLARATION,))


def units(folder: Path, kind: Kind) -> list[str]:
    """Return the files of a pool that hold or list captions, sorted: a shard of the scan each."""
    end = {"tars": _TAR, "folder": METADATA}.get(kind, PARQUET)
    return [
        str(path)
        for name, path in read_tree(folder, kind).files
        if name.lower().endswith(end) and (end != METADATA or path.name == METADATA)
    ]


def find_kind(folder: Path, declaration: PoolDeclaration) -> Kind | None:
    """Return what a folder's pool is; None if it is none.

    Raises:
        RequestError: If more than one answer fits, or the declaration does not fit the folder.
    """
    kind = declaration.kind
    if kind is not None and not units(folder, kind):
        raise RequestError(
            f"{folder / DECLARATION} says kind: {kind}, but there are no such files",
            f"give another kind, or leave it out; here, {kind} means {WORDS[kind]}",
        )
    if kind is None and declaration.image is not None and units(folder, "parquet"):
        kind = "parquet"
    kind = kind or _guessed(folder)
    if kind == "addresses" and declaration.columns is not None and not declaration.columns.url:
        raise RequestError(
            f"{folder / DECLARATION} names no column of addresses", "add columns: {url: …}"
        )
    return kind


def _guessed(folder: Path) -> Kind | None:
    tars = units(folder, "tars")
    stems = {tar[: -len(_TAR)] for tar in tars}
    tables = [table for table in units(folder, "addresses") if table[: -len(PARQUET)] not in stems]
    fitting: dict[Kind, str] = {}
    if tars:
        fitting["tars"] = Path(tars[0]).name
    if tables:
        held = have_images([Path(table) for table in tables])
        fitting["parquet" if held else "addresses"] = Path(tables[0]).name
    if listed := units(folder, "folder"):
        fitting["folder"] = str(Path(listed[0]).relative_to(folder))
    if len(fitting) > 1:
        shown = ", ".join(f"{WORDS[kind]} ({name})" for kind, name in fitting.items())
        raise RequestError(
            f"{folder} may be several kinds of pool: {shown}",
            f"move the others away, or write kind: {next(iter(fitting))} (or "
            f"{' or '.join(list(fitting)[1:])}) into {folder / DECLARATION}",
        )
    return next(iter(fitting), None)


def sidecar(tar: Path) -> Path | None:
    """Return the Parquet file beside a tar, as img2dataset writes it; None if there is none."""
    path = tar.with_name(tar.name[: -len(_TAR)] + PARQUET)
    return path if path.is_file() else None
