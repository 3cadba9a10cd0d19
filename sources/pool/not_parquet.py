"""What a file or a folder is that was taken for a pool, and what to do about it."""

from collections import Counter
from pathlib import Path
from shlex import quote

from bench.core.missing import MissingError
from bench.core.walk import walk
from bench.storage.image_codec import IMAGE_SUFFIXES

_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")

_READERS = {
    ".csv": "read_csv(sys.argv[1])",
    ".csv.gz": "read_csv(sys.argv[1])",
    ".csv.zst": "read_csv(sys.argv[1])",
    ".tsv": "read_csv(sys.argv[1], separator='\\t')",
    ".tsv.gz": "read_csv(sys.argv[1], separator='\\t')",
    ".jsonl": "read_ndjson(sys.argv[1])",
    ".ndjson": "read_ndjson(sys.argv[1])",
    ".json": "read_json(sys.argv[1])",
    ".arrow": "read_ipc(sys.argv[1])",
    ".feather": "read_ipc(sys.argv[1])",
}
"""The ends of names that polars has a reader for, and its call, without double quotes."""

_STARTS = (
    (b"PARE", "it is encrypted"),
    (b"version https://git-lfs", "it is a pointer of Git LFS (git lfs pull fetches the file)"),
    (b"\x1f\x8b", "it is a gzip file, not Parquet (gunzip unpacks it)"),
    (b"PK\x03\x04", "it is a zip file, not Parquet (unzip it)"),
)
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<error")


def not_parquet(path: Path) -> str:
    """Return what a file is that Parquet's readers refuse; empty where nothing is known of it."""
    with path.open("rb") as stream:
        start = stream.read(64)
    if not start:
        return "it is empty"
    if start.lstrip().lower().startswith(_PAGES):
        return "it is a web page, not Parquet (the download failed)"
    return next((what for begins, what in _STARTS if start.startswith(begins)), "")


def no_pool(name: str, place: Path) -> MissingError:
    """Return the error for a pool without Parquet files.

    Args:
        name: The pool, as requested.
        place: A file or a folder that exists.
    """
    if place.is_file():
        fix = "give the folder it is in" if _kind(place.name) == ".parquet" else _remedy(place)
        return MissingError(f"the pool {name!r} is the file {place}", fix)
    files = [path for _, path in walk(place).files]
    if not files:
        return MissingError(f"the folder {place} is empty", "put the pool's files into it")
    kinds = Counter(_kind(path.name) for path in files).most_common(4)
    shown = ", ".join(f"{count:,} {kind or 'without suffix'}" for kind, count in kinds)
    best = min(files, key=lambda path: _kind(path.name) not in _READERS)
    listed = next((path for path in files if path.name.lower() == "metadata.csv"), None)
    if listed is not None and any(path.suffix.lower() in IMAGE_SUFFIXES for path in files):
        return MissingError(
            f"the folder {place} has images and metadata.csv, but no metadata.jsonl",
            _conversion(listed, "metadata.jsonl", "read_csv(sys.argv[1])", "write_ndjson"),
        )
    return MissingError(f"the folder {place} has no Parquet files, but {shown}", _remedy(best))


def _kind(name: str) -> str:
    """Return the end of a name, in lower case, with the one before it where that is packed."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    packed = len(suffixes) > 1 and suffixes[-1] in _PACKED
    return "".join(suffixes[-2:] if packed else suffixes[-1:])


def _remedy(file: Path) -> str:
    kind = _kind(file.name)
    if kind in _READERS:
        target = file.name[: -len(kind)] + ".parquet"
        return _conversion(file, target, _READERS[kind], "write_parquet")
    if kind.startswith(".tar") or kind == ".tgz":
        return "unpack each to a plain .tar (gunzip, for one), of which parts can be read"
    if kind.endswith(_PACKED):
        return "unpack them"
    return (
        "a pool is Parquet files with the columns URL and TEXT, or tars, Parquet files or a folder "
        "of images with their captions (docs/retrieval.md)"
    )


def _conversion(file: Path, target: str, read: str, write: str) -> str:
    code = f"import polars, sys; polars.{read}.{write}(sys.argv[2])"
    places = f"{quote(str(file))} {quote(str(file.with_name(target)))}"
    return f'convert each: python -c "{code}" {places}'
