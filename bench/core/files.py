"""Write files so that a reader never meets half of one, and fingerprint them."""

import errno
import glob
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.core.errors import BenchError, RequestError
from bench.core.json_values import readable_json
from bench.core.memo import memo
from bench.core.walk import Named, walk

if TYPE_CHECKING:
    import polars as pl


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file that takes its final name when the block succeeds."""
    temporary = temporary_name(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; once written it survives a power cut."""
    with atomic_file(path) as temporary, temporary.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON for people to read, as `write_atomic` does."""
    write_atomic(path, readable_json(value))


def read_file(path: Path) -> bytes:
    """Return the content of a user's file.

    Raises:
        BenchError: If it cannot be read: it may have vanished since it was listed.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(
            f"cannot read {path}: {error.strerror}", "mend it, then the same command continues"
        ) from error


def read_parquet(path: Path, columns: list[str] | None = None) -> "pl.DataFrame":
    """Read a table of one file, or some of its columns; a path is no pattern, whatever its name."""
    import polars as pl

    return pl.read_parquet(path, columns=columns, glob=False)


def scan_parquet(path: Path) -> "pl.LazyFrame":
    """Return a table of one file, read when it is collected; a path is no pattern."""
    import polars as pl

    return pl.scan_parquet(path, glob=False)


def write_parquet(path: Path, rows: "pl.DataFrame") -> None:
    """Write a table whole or not at all; a power cut may still lose it."""
    with atomic_file(path) as temporary:
        rows.write_parquet(temporary)


@contextmanager
def atomic_folder(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield an empty folder that takes its final name when the block ends without an error.

    The caller holds the lock on this name, so leftovers of a killed predecessor are cleared.

    Args:
        path: The final name.
        durable: Whether it must survive a power cut from then on, as a replacement of another
            folder must. It costs 1 to 25 ms for a small folder, too much for thousands of shards.
    """
    for leftover in path.parent.glob(f".{glob.escape(path.name)}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        for written in [*temporary.rglob("*"), temporary] if durable else ():
            _sync(written)
        temporary.rename(path)
        if durable:
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems, SMB for one, cannot flush a folder.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def temporary_name(path: Path) -> Path:
    """Return an unused name beside a path; the parent folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")


def fingerprint(path: Path, suffixes: tuple[str, ...] = ()) -> str:
    """Return the `fingerprint_of` a file, or of the files that `walk` finds below a folder.

    Args:
        path: The file or folder.
        suffixes: The ends of the names to cover; none covers all.

    Raises:
        RequestError: If a file cannot be read, or as `walk` raises it.
    """
    return fingerprint_of(walk(path, suffixes).files)


@memo
def fingerprint_of(files: tuple[Named, ...], edge: int = 2**20) -> str:
    """Return a short hash of files, sorted by name.

    It covers names, sizes and a mebibyte at both ends of each file, so that it takes seconds for
    any size. It is the same on every machine.

    Args:
        files: Name and path of each.
        edge: Bytes at each end.

    Raises:
        RequestError: If a file cannot be read.
    """
    hasher = hashlib.sha256()
    for name, file in sorted(files):
        try:
            size = file.stat().st_size
            hasher.update(f"{name}\0{size}\0".encode())
            with file.open("rb") as stream:
                hasher.update(stream.read(edge))
                stream.seek(max(size - edge, 0))
                hasher.update(stream.read(edge))
        except OSError as error:
            raise RequestError(f"cannot read {file}: {error.strerror}") from error
    return hasher.hexdigest()[:12]


@memo
def content_hash(path: Path) -> str:
    """Return a short hash of every byte of a file.

    Raises:
        RequestError: If it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}") from error


_HASHING_THREADS = 8
"""Threads that hash files: reading many small ones from a shared file system is waiting."""

_AT_ONCE = 64
"""Files that a thread takes at once, so that handing them over costs little."""


def content_hashes(files: tuple[Named, ...]) -> Mapping[str, str]:
    """Return the SHA-256 of every byte of each file by its name; shared by all who ask.

    Files are not read again in this process while their sizes and times stay the same.

    Args:
        files: Name and path of each.

    Raises:
        RequestError: If a file cannot be read.
    """
    try:
        status = [path.stat() for _, path in files]
        return _content_hashes(files, tuple((one.st_size, one.st_mtime_ns) for one in status))
    except OSError as error:
        raise RequestError(f"cannot read {error.filename}: {error.strerror}") from error


def file_states(files: Sequence[Path]) -> str:
    """Return a hash of the sizes and times of files, in their order; none is read.

    Raises:
        RequestError: If one is not there.
    """

    def stated(some: Sequence[Path]) -> list[tuple[int, int]]:
        status = [path.stat() for path in some]
        return [(one.st_size, one.st_mtime_ns) for one in status]

    parts = [files[start : start + _AT_ONCE] for start in range(0, len(files), _AT_ONCE)]
    try:
        with ThreadPoolExecutor(_HASHING_THREADS) as pool:
            found = list(chain.from_iterable(pool.map(stated, parts)))
    except OSError as error:
        raise RequestError(f"cannot read {error.filename}: {error.strerror}") from error
    return hashlib.sha256(repr(found).encode()).hexdigest()


@lru_cache(maxsize=4)
def _content_hashes(
    files: tuple[Named, ...], sizes_and_times: tuple[tuple[int, int], ...]
) -> Mapping[str, str]:
    def hashed(some: tuple[Named, ...]) -> list[tuple[str, str]]:
        found = []
        for name, path in some:
            with path.open("rb") as stream:
                found.append((name, hashlib.file_digest(stream, "sha256").hexdigest()))
        return found

    parts = [files[start : start + _AT_ONCE] for start in range(0, len(files), _AT_ONCE)]
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        return MappingProxyType(dict(chain.from_iterable(pool.map(hashed, parts))))
