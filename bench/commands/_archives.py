"""Download a benchmark's archives through torchvision: resumed, checked, never half unpacked."""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bench.commands._hub import WHERE_ONLINE, first_line, require_place
from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.core.progress import Progress

_KEPT = (".tar", ".tgz", ".gz", ".zip", ".part")
"""Ends of the names of what is kept of an interrupted download: all else may be half unpacked."""

_DAMAGED = (EOFError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile, zlib.error)

_SECONDS = 60
"""How long a server may be silent."""

_CHUNK = 2**18


def download(name: str, dataset: str, arguments: Sequence[Json], folder: Path) -> None:
    """Download and unpack a benchmark, which has its place only when it is whole.

    Args:
        name: The task, for messages.
        dataset: The torchvision class.
        arguments: What the class is called with, for each split.
        folder: The task's folder; archives that lie in it are used.

    Raises:
        BenchError: If the network fails, or an archive is cut, damaged or not the published one.
    """
    import torchvision

    staging = folder.with_name(f".{folder.name}.partial")
    staging.mkdir(parents=True, exist_ok=True)
    for archive in folder.glob("*"):
        if archive.is_file() and archive.name.endswith(_KEPT):
            archive.rename(staging / archive.name)
    _remove_unpacked(staging)
    kind = getattr(torchvision.datasets, dataset)
    with _explained(name, staging), _safely_retrieving(name):
        for each in arguments:
            kind(str(staging), **each, download=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in staging.iterdir():
        path.rename(folder / path.name)
    staging.rmdir()


def _remove_unpacked(staging: Path) -> None:
    for path in sorted(staging.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif not path.name.endswith(_KEPT):
            path.unlink()


@contextmanager
def _explained(name: str, staging: Path) -> Iterator[None]:
    """Raise what torchvision raises as errors with a remedy."""
    try:
        yield
    except _DAMAGED as error:
        raise BenchError(
            f"an archive of the task {name} is damaged: {first_line(error)}",
            f"remove {staging} and run the same command",
        ) from error
    except RuntimeError as error:
        what = first_line(error)
        if "corrupted" in what:  # How torchvision says that the MD5 is another one.
            what = "an archive has not the published MD5"
        raise BenchError(
            f"cannot fetch the task {name}: {what}", "the same command fetches it again"
        ) from error
    except OSError as error:
        require_place(error)
        raise BenchError(
            f"cannot fetch the task {name}: {first_line(error)}", WHERE_ONLINE
        ) from error


@contextmanager
def _safely_retrieving(name: str) -> Iterator[None]:
    """Let torchvision resume downloads, and unpack no file outside its folder."""
    from torchvision.datasets import utils

    retrieve = utils._urlretrieve
    unpack: Callable[..., Any] | None = getattr(tarfile.TarFile, "extraction_filter", None)
    utils._urlretrieve = _retriever(name)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        utils._urlretrieve = retrieve
        tarfile.TarFile.extraction_filter = unpack


def _retriever(name: str) -> Callable[..., None]:
    """Return what torchvision calls with an address and a file's name."""

    def retrieve(url: str, filename: str, **_: object) -> None:
        part = Path(f"{filename}.part")
        start = part.stat().st_size if part.exists() else 0
        headers = {"User-Agent": "bench"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            with urlopen(Request(url, headers=headers), timeout=_SECONDS) as answer:  # noqa: S310
                _save(answer, part, start if answer.status == 206 else 0, name)
        except HTTPError as error:
            if error.code != 416 or not start:
                raise
            part.unlink()  # It is longer than the file that is there now.
            retrieve(url, filename)
            return
        part.replace(filename)

    return retrieve


def _save(answer: Any, part: Path, start: int, name: str) -> None:  # noqa: ANN401 (of urllib)
    """Append a server's answer to a file, or begin it anew.

    Raises:
        OSError: If the connection ends early; what has arrived stays.
    """
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length else None
    with (
        part.open("ab" if start else "wb") as stream,
        Progress().bar(f"fetching {name}: {part.stem}", total, "byte") as bar,
    ):
        bar.advance(start)
        while content := answer.read(_CHUNK):
            stream.write(content)
            bar.advance(len(content))
    arrived = part.stat().st_size
    if total is not None and arrived < total:
        raise OSError(f"{part.stem} ends after {arrived:,} of {total:,} bytes")
