"""Images in Parquet files, one at a time: a row group is read when one of its images is asked for.

The groups that were read last are kept, so that reading in order reads every byte once.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from bench.core.errors import RequestError
from bench.storage.image_codec import decode

_KEPT_BYTES = 512 * 2**20
"""Of the groups that are kept; at least two are, for readers on both sides of a border."""


@dataclass(frozen=True)
class GroupedImages:
    """The images of some Parquet files, by their place among all rows.

    Attributes:
        paths: The files.
        column: The column of encoded images: ``image.bytes``, or one of plain bytes.
        files: The file of each row group, int64 ``[groups]``: an index into `paths`.
        groups: Its number in its file, int64 ``[groups]``.
        starts: Its first row among all rows, int64 ``[groups]``.
    """

    paths: Sequence[Path]
    column: str
    files: NDArray[np.int64]
    groups: NDArray[np.int64]
    starts: NDArray[np.int64]

    def read(self, index: int) -> Image:
        """Return the image of a row, decoded as every source's.

        Raises:
            RequestError: If it cannot be read or is no image; it names file and row.
        """
        at = int(np.searchsorted(self.starts, index, side="right")) - 1
        path, group = self.paths[int(self.files[at])], int(self.groups[at])
        row = index - int(self.starts[at])
        try:
            content = _groups.column(path, group, self.column)[row].as_py()
            if content is None:
                raise ValueError("there are no bytes, only a path")
            return decode(content)
        except (OSError, ValueError, NotImplementedError) as error:
            where = f"{path}, row {row} of row group {group}"
            raise RequestError(f"{where}: {error}", "replace the file") from error


class _Groups:
    """The row groups that were read last, for all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, int, str], Any] = OrderedDict()

    def column(self, path: Path, group: int, column: str) -> Any:  # noqa: ANN401 (of pyarrow)
        """Return a column of a row group."""
        key = (path, group, column)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _read_column(path, group, column)
                while len(self._kept) > 2 and self._bytes() > _KEPT_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _bytes(self) -> int:
        return sum(column.nbytes for column in self._kept.values())


_groups = _Groups()


def _read_column(path: Path, group: int, column: str) -> Any:  # noqa: ANN401 (of pyarrow)
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Mapped and without a copy of its own, a group of 3 MB takes 0.6 ms instead of 5.
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        table = file.read_row_group(group, columns=[column], use_threads=False)
    values = table.column(0).combine_chunks()
    return values.field(0) if pa.types.is_struct(values.type) else values
