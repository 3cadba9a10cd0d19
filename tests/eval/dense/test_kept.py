"""Large arrays for a while: the same in memory and on disk, and nothing is left of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.core.errors import BenchError
from eval.dense import kept as module
from eval.dense.kept import kept

ROWS = np.arange(60, dtype=np.float16).reshape(10, 3, 2)


def batches() -> Iterator[NDArray[np.float16]]:
    return iter([ROWS[:4], ROWS[4:8], ROWS[8:]])


def test_an_array_on_disk_is_the_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = kept(batches(), 10, "tokens", tmp_path)
    monkeypatch.setattr(module, "KEPT_BYTES", 1)
    on_disk = kept(batches(), 10, "tokens", tmp_path / "new")
    assert isinstance(on_disk, np.memmap)
    assert on_disk.dtype == np.float16
    np.testing.assert_array_equal(on_disk, ROWS)
    np.testing.assert_array_equal(in_memory, ROWS)
    assert not list((tmp_path / "new").iterdir())


def test_an_array_that_the_disk_does_not_hold_is_refused_before_it_is_filled(
    tmp_path: Path,
) -> None:
    first = np.empty((1, 2**20), np.float16)
    with pytest.raises(BenchError, match=r"tokens take .* GB, and"):
        kept(iter([first]), 2**40, "tokens", tmp_path)
