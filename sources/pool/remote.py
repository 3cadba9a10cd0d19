"""List and fetch files behind a URL that fsspec can open (s3, gs, hf, https, …)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.core.errors import BenchError, RequestError
from bench.core.memo import memo
from bench.core.names import composed
from bench.core.walk import why_left_out
from bench.runtime.hub import fetching

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "sha256", "crc32c", "checksum", "oid")
"""Names under which file systems list a fingerprint of a file's content; some list none."""


class RemoteFile(NamedTuple):
    """A file as its file system lists it.

    Attributes:
        url: Its URL.
        name: Its name below the folder.
        size: Bytes.
        checksum: A fingerprint of its content; empty where the file system has none.
    """

    url: str
    name: str
    size: int
    checksum: str


@memo
def list_files(url: str) -> list[RemoteFile]:
    """Return the files below a remote folder, sorted by name; as `walk`, no hidden ones.

    Raises:
        RequestError: If it cannot be listed.
    """
    import fsspec

    try:
        with fetching():
            system, path = fsspec.core.url_to_fs(url)
            entries = _below(system, path)
    except Exception as error:
        raise RequestError(
            f"cannot list {url}: {error}",
            "check the address and your credentials, or put the files into a local folder",
        ) from error
    files = [
        RemoteFile(
            system.unstrip_protocol(entry["name"]),
            name,
            int(entry["size"] or 0),
            next((str(entry[key]) for key in _CHECKSUMS if entry.get(key)), ""),
        )
        for name, entry in entries.items()
    ]
    return sorted(files, key=lambda file: file.name)


def _below(system: "AbstractFileSystem", path: str) -> dict[str, dict[str, Any]]:
    """Return the files below a folder, as their file system lists them, by name below it."""
    listed = system.ls(path, detail=True)
    for folder in listed:
        if folder["type"] == "directory" and not why_left_out(_last(folder["name"])):
            listed += system.find(folder["name"], detail=True).values()
    prefix = f"{path.rstrip('/')}/"
    files = {
        composed(entry["name"].removeprefix(prefix)): entry
        for entry in listed
        if entry["type"] == "file"
    }
    return {
        name: entry for name, entry in files.items() if not any(map(why_left_out, name.split("/")))
    }


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


@contextmanager
def local_copy(url: str, folder: Path) -> Iterator[Path]:
    """Yield a copy of a remote file in a local folder; it is deleted after the block.

    Raises:
        BenchError: If it cannot be fetched.
    """
    import fsspec

    path = folder / "copy"
    try:
        with fetching(), fsspec.open(url, "rb") as remote, path.open("wb") as local:
            shutil.copyfileobj(remote, local, 2**22)
    except FileNotFoundError as error:
        raise BenchError(f"{url} is gone", "start again: the pool has changed") from error
    except Exception as error:
        raise BenchError(f"cannot fetch {url}: {error}", "the same command continues") from error
    try:
        yield path
    finally:
        path.unlink()
