"""Large arrays that are needed for a while: in memory, or in a file without a name."""

import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError

KEPT_BYTES = 2**30
"""Arrays that take no more than this are kept in memory."""

S = TypeVar("S", bound=np.generic)


def kept(batches: Iterator[NDArray[S]], n: int, what: str, folder: Path) -> NDArray[S]:
    """Return batches as one array, ``[n, ...]``.

    One of more than 1 GiB is in a file that has no name, so that nothing is left of it once the
    array is forgotten or the process killed.

    Args:
        batches: Arrays ``[b, ...]``, n rows in all.
        n: Rows, at least one.
        what: What they are, for a message.
        folder: Where the file is.

    Raises:
        BenchError: If it would take more than the disk has.
    """
    first = next(batches)
    array = _room((n, *first.shape[1:]), first.dtype, what, folder)
    start = 0
    for batch in _chained(first, batches):
        array[start : start + len(batch)] = batch
        start += len(batch)
    return array


def _chained(first: NDArray[S], others: Iterator[NDArray[S]]) -> Iterator[NDArray[S]]:
    yield first
    yield from others


def _room(shape: tuple[int, ...], kind: np.dtype[S], what: str, folder: Path) -> NDArray[S]:
    needed = math.prod(shape) * kind.itemsize
    if needed <= KEPT_BYTES:
        return np.empty(shape, kind)
    folder.mkdir(parents=True, exist_ok=True)
    if needed > (free := shutil.disk_usage(folder).free):
        raise BenchError(
            f"{what} take {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free in {folder}",
            "free some space, or set a smaller size",
        )
    with tempfile.TemporaryFile(dir=folder) as stream:
        return np.memmap(stream, kind, "w+", shape=shape)
