"""Files appear whole or not at all, and are told apart by their content."""

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bench.core.errors import BenchError
from bench.core.files import (
    atomic_folder,
    fingerprint,
    fingerprint_of,
    read_file,
    read_parquet,
    write_atomic,
)
from bench.core.walk import walk


def write_weights(folder: Path) -> Path:
    (folder / "unet").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "unet" / "weights.safetensors").write_bytes(bytes(range(256)) * 64)
    return folder


def test_a_fingerprint_depends_on_content_not_on_the_place(tmp_path: Path) -> None:
    one, two = write_weights(tmp_path / "one"), write_weights(tmp_path / "two")
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one / "config.json") == fingerprint(two / "config.json")


@pytest.mark.parametrize(
    "change", ["first byte", "last byte", "longer", "renamed", "added", "removed"]
)
def test_a_fingerprint_notices_other_weights(tmp_path: Path, change: str) -> None:
    folder = write_weights(tmp_path)
    before, file = fingerprint(folder), folder / "unet" / "weights.safetensors"
    content = file.read_bytes()
    actions: dict[str, Callable[[], object]] = {
        "first byte": lambda: file.write_bytes(b"\xff" + content[1:]),
        "last byte": lambda: file.write_bytes(content[:-1] + b"\0"),
        "longer": lambda: file.write_bytes(content + b"\0"),
        "renamed": lambda: file.rename(file.with_name("others.safetensors")),
        "added": lambda: (folder / "more.json").write_text(""),
        "removed": file.unlink,
    }
    actions[change]()
    assert fingerprint(folder) != before


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "shard"

    def fail_half_way() -> None:
        with atomic_folder(target) as folder:
            (folder / "part").write_text("1")
            assert not target.exists()
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as folder:
        (folder / "part").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["shard", "part"]


def test_leftovers_of_a_killed_writer_are_cleared_but_not_a_neighbours(tmp_path: Path) -> None:
    (tmp_path / ".shard-0123abcd").mkdir()
    (tmp_path / ".shard-0123abcd" / "half").write_text("")
    (tmp_path / ".other-0123abcd").mkdir()
    with atomic_folder(tmp_path / "shard"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other-0123abcd", "shard"]


def test_a_file_that_vanished_after_it_was_listed_is_named(tmp_path: Path) -> None:
    listed = walk(write_weights(tmp_path / "tree")).files
    listed[0][1].unlink()
    for read in (lambda: fingerprint_of(listed), lambda: read_file(listed[0][1])):
        with pytest.raises(BenchError, match=r"cannot read .*/tree/config\.json: No such file"):
            read()


def test_a_file_that_cannot_be_read_to_its_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.png").symlink_to("/proc/self/mem")
    with pytest.raises(BenchError, match=r"cannot read .*/0\.png: Input/output error"):
        fingerprint(tmp_path)


@pytest.mark.parametrize("name", ["exp[1]", "a*b", "{x,y}", "what?", "%41", "#1", "a b", "é"])
def test_a_path_is_no_pattern(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (tmp_path / "exp1").mkdir()
    with atomic_folder(folder) as temporary:
        pl.DataFrame({"a": [1]}).write_parquet(temporary / f"{name}.parquet")
    assert read_parquet(folder / f"{name}.parquet")["a"].to_list() == [1]
    leftover = tmp_path / f".{name}-killed"
    leftover.mkdir()
    folder.rename(tmp_path / "moved")
    with atomic_folder(folder):
        assert not leftover.exists()
