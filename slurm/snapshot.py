"""The code that jobs run: a copy made when they are submitted, unaffected by later edits."""

import hashlib
import shutil
from pathlib import Path

import msgspec

from bench.core.files import temporary_name
from bench.core.paths import Home
from bench.runtime import provenance
from bench.runtime.layout import CHECKOUT, TOP_LEVEL


def snapshot(home: Home) -> Path:
    """Return a folder in the home with this code, named by its content, and its git commit."""
    files = _files()
    hasher = hashlib.sha256(msgspec.json.encode(provenance.git()))
    for path in files:
        hasher.update(f"{path.relative_to(CHECKOUT)}\0".encode())
        hasher.update(hashlib.sha256(path.read_bytes()).digest())
    folder = home.root / "code" / hasher.hexdigest()[:12]
    if not folder.is_dir():
        _copy(files, folder)
    return folder


def _files() -> list[Path]:
    paths = (path for name in TOP_LEVEL for path in (CHECKOUT / name).rglob("*"))
    return sorted(path for path in paths if path.is_file() and path.parent.name != "__pycache__")


def _copy(files: list[Path], folder: Path) -> None:
    temporary = temporary_name(folder)
    try:
        for path in files:
            copy = temporary / path.relative_to(CHECKOUT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        (temporary / provenance.SNAPSHOT).write_bytes(msgspec.json.encode(provenance.git()))
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # Otherwise another process made the same copy.
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
