"""List and fetch files behind a URL that fsspec can open (s3, gs, hf, https, …)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.core.errors import BenchError, RequestError
from bench.core.memo import memo

_CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "sha256", "crc32c", "checksum", "oid")
"""Names under which file systems list a fingerprint of a file's content; some list none."""


class RemoteFile(NamedTuple):
    """A file as its file system lists it.

    Attributes:
        url: Its URL.
        name: Its name within the folder.
        size: Bytes.
        checksum: A fingerprint of its content; empty where the file system has none.
    """

    url: str
    name: str
    size: int
    checksum: str


@memo
def list_files(url: str) -> list[RemoteFile]:
    """Return the files in a remote folder, sorted by name.

    Raises:
        RequestError: If it cannot be listed.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
        entries = system.ls(path, detail=True)
    except Exception as error:
        raise RequestError(
            f"cannot list {url}: {error}",
            "check the address and your credentials, or put the files into a local folder",
        ) from error
    files = [
        RemoteFile(
            system.unstrip_protocol(entry["name"]),
            entry["name"].rstrip("/").rpartition("/")[2],
            int(entry["size"] or 0),
            next((str(entry[key]) for key in _CHECKSUMS if entry.get(key)), ""),
        )
        for entry in entries
        if entry["type"] == "file"
    ]
    return sorted(files, key=lambda file: file.name)


@contextmanager
def local_copy(url: str, folder: Path) -> Iterator[Path]:
    """Yield a copy of a remote file in a local folder; it is deleted after the block.

    Raises:
        BenchError: If it cannot be fetched.
    """
    import fsspec

    path = folder / "copy"
    try:
        with fsspec.open(url, "rb") as remote, path.open("wb") as local:
            shutil.copyfileobj(remote, local, 2**22)
    except FileNotFoundError as error:
        raise BenchError(f"{url} is gone", "start again: the pool has changed") from error
    except Exception as error:
        raise BenchError(f"cannot fetch {url}: {error}", "the same command continues") from error
    try:
        yield path
    finally:
        path.unlink()
