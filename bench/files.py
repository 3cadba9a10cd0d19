"""Writing files so that a reader never meets half of one, and telling files apart."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it when it is safely on disk."""
    temporary = temporary_name(path)
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes its final name when the block ends without an error.

    The caller holds the lock on this name, so leftovers of a killed predecessor are cleared.
    """
    for leftover in path.parent.glob(f".{path.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_name(path: Path) -> Path:
    """Return a name beside a path that nobody else uses; the parent folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")


def fingerprint(path: Path, edge: int = 4096) -> str:
    """Return a short hash of a file, or of every file below a folder.

    It covers names, sizes and both ends of each file: enough to notice other weights or other
    images in seconds, whatever their size, and the same on every machine.
    """
    hasher = hashlib.sha256()
    files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    for file in files:
        size = file.stat().st_size
        hasher.update(f"{file.relative_to(path).as_posix()}\0{size}\0".encode())
        with file.open("rb") as stream:
            hasher.update(stream.read(edge))
            stream.seek(max(size - edge, 0))
            hasher.update(stream.read(edge))
    return hasher.hexdigest()[:12]
