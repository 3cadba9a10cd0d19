"""Search an index folder of ``clip-retrieval index``: ``image.index`` and ``metadata/``."""

from functools import cached_property
from importlib.util import find_spec
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from bench.core.arrays import FloatArray
from bench.core.errors import RequestError
from bench.core.files import fingerprint, scan_parquet
from bench.core.missing import MissingError
from bench.core.walk import walk
from sources.pool.columns import Columns, InvalidFileError, columns_of
from sources.pool.flags import FLAGS, flag_columns, require_probabilities
from sources.pool.matcher import MAX_CAPTION

_SCHEMA = {"id": pl.Int64, "url": pl.String, "caption": pl.String, **FLAGS}


class IndexFolder:
    """An index that is searched in this process.

    Args:
        folder: The folder; row i of its metadata files, in order of name, is vector i.

    Raises:
        RequestError: If it is not such a folder, or faiss is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "image.index"
        self._metadata = _parquet_files(folder / "metadata")
        if not self._file.is_file() or not self._metadata:
            raise MissingError(
                f"{folder} has no image.index beside metadata/*.parquet",
                "give the folder that `clip-retrieval index` wrote",
            )
        self._columns, *others = dict.fromkeys(map(_columns, self._metadata))
        if others:
            raise RequestError(
                f"the files of {folder / 'metadata'} differ in their columns",
                "build the index again",
            )
        if find_spec("faiss") is None:
            raise RequestError(
                "faiss, which reads source.knn.index, is not installed",
                "pip install faiss-cpu, or serve the index: clip-retrieval back, and knn.url",
            )
        self.fingerprint = fingerprint(folder)

    def nearest(self, queries: FloatArray, k: int) -> pl.DataFrame:
        """Return the nearest images of each query.

        Args:
            queries: float32 ``[q, dim]``, rows L2-normalised.
            k: Images per query; fewer where the index has no more.

        Returns:
            Columns query, similarity, url, caption and flags; a query's nearest first.

        Raises:
            RequestError: If the index is of another CLIP, or cannot be searched.
        """
        if queries.shape[1] != self._index.d:
            raise RequestError(
                f"vectors in {self._file} have {self._index.d} numbers, "
                f"those of the queries {queries.shape[1]}",
                "name the CLIP that built the index: --set source.knn.model=…",
            )
        similarities, ids = self._index.search(np.ascontiguousarray(queries), k)
        hits = pl.DataFrame(
            {
                "query": np.repeat(np.arange(len(queries)), k),
                "similarity": similarities.ravel(),
                "id": ids.ravel(),
            }
        ).filter(pl.col("id") >= 0)  # faiss fills up with -1.
        rows = self._rows(hits["id"].unique().to_numpy())
        return hits.join(rows, on="id", maintain_order="left").drop("id")

    @cached_property
    def _index(self) -> Any:  # noqa: ANN401 (faiss has no types)
        import faiss

        try:
            # As `clip-retrieval back` does: lists of an index larger than memory stay on disk.
            index = faiss.read_index(str(self._file), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as error:
            raise RequestError(f"{self._file} is not a faiss index", "build it again") from error
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise RequestError(
                f"{self._file} compares by distance, not by inner product",
                "build it with `clip-retrieval index`",
            )
        if index.ntotal != self._starts[-1]:
            raise RequestError(
                f"{self._file} has {index.ntotal} vectors, its metadata {self._starts[-1]} rows",
                "copy the folder again, or build it again",
            )
        return index

    @cached_property
    def _starts(self) -> list[int]:
        """The first row of every metadata file, and the number of all rows."""
        counts = [pyarrow.parquet.read_metadata(path).num_rows for path in self._metadata]
        return list(accumulate(counts, initial=0))

    def _rows(self, ids: NDArray[np.int64]) -> pl.DataFrame:
        """Return id, url, caption and flags of some rows; each metadata file is read once."""
        names, parts = self._columns, [pl.DataFrame(schema=_SCHEMA)]
        for path, (start, end) in zip(self._metadata, pairwise(self._starts), strict=True):
            in_file = ids[(ids >= start) & (ids < end)]
            if in_file.size:
                columns = scan_parquet(path).select(
                    pl.col(names.url).alias("url"),
                    pl.col(names.caption).str.head(MAX_CAPTION).alias("caption"),
                    *flag_columns(names),
                )
                rows = columns.collect()[in_file - start]
                _check_flags(path, rows)
                parts.append(rows.select(pl.Series("id", in_file), "url", "caption", *FLAGS))
        return pl.concat(parts)


def _parquet_files(folder: Path) -> list[Path]:
    return [path for _, path in walk(folder, (".parquet",)).files] if folder.is_dir() else []


def _columns(path: Path) -> Columns:
    try:
        return columns_of(scan_parquet(path).collect_schema(), None)
    except (InvalidFileError, pl.exceptions.PolarsError) as error:
        raise RequestError(
            f"{path}: {error}",
            "an index needs URLs: run `clip-retrieval inference --enable_metadata True` "
            "on what img2dataset wrote",
        ) from error


def _check_flags(path: Path, rows: pl.DataFrame) -> None:
    try:
        require_probabilities(rows["punsafe"])
    except InvalidFileError as error:
        raise RequestError(f"{path}: {error}", "divide it by 100, or rename the column") from error
