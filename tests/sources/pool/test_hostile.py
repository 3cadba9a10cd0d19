"""Pools that are damaged, or meant to do harm: named in one line, left out, never obeyed."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from sources.knn.index_folder import IndexFolder
from sources.pool import prefilter
from sources.pool.columns import InvalidFileError
from sources.pool.match_file import match_file
from sources.pool.matcher import CaptionMatcher
from sources.pool.normalize import normalize
from sources.pool.pool import RemotePool
from sources.pool.prefilter import Prefilter
from sources.pool.remote import RemoteFile
from sources.pool.scan import candidates, scan
from tests.sources.pool.test_scan import Row, context, flowers, write_pool

ROWS = {"URL": ["http://a/1", "http://a/2"], "TEXT": ["a rose", "a lily"]}
TASK = flowers("rose", "lily")


@pytest.mark.parametrize("place", range(20, 500, 24))
def test_a_footer_that_is_damaged_makes_a_file_unfit_or_changes_nothing(
    tmp_path: Path, place: int
) -> None:
    path = tmp_path / "damaged.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[:-place] + b"\x7f" * 3 + content[3 - place :])
    with suppress(InvalidFileError):
        assert match_file(path, None, CaptionMatcher(TASK, "substring")).pairs.height <= 2


@pytest.mark.parametrize(
    "flags", [[0.99, 0.1], [True, False], [[1], [2]], [b"\xff\xfe", b"NSFW"], [{"a": 1}, {"a": 2}]]
)
def test_a_flag_that_is_no_text_is_not_taken_for_unset(tmp_path: Path, flags: list[Any]) -> None:
    pl.DataFrame({**ROWS, "NSFW": flags}).write_parquet(tmp_path / "0.parquet")
    with pytest.raises(InvalidFileError, match=r"column 'NSFW' is .*, not text"):
        match_file(tmp_path / "0.parquet", None, CaptionMatcher(TASK, "substring"))


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["NSFW", "UNLIKELY"])])
def test_a_flag_may_be_a_category(home: Home, tmp_path: Path, kind: Any) -> None:
    pool = write_pool(tmp_path / "pool", [("http://a", "a rose", None)])
    flags = pl.Series("NSFW", ["NSFW", "UNLIKELY"], dtype=kind)
    pl.DataFrame(ROWS).with_columns(flags).write_parquet(tmp_path / "pool" / "0.parquet")
    assert candidates(scan(pool, TASK, context(home, TASK)))["url"].to_list() == ["http://a/2"]


def test_what_a_file_calls_its_columns_is_not_obeyed(home: Home, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [("http://a", "a rose", None)])
    pl.DataFrame({"\x1b[31mRED\x07\n": ["x"]}).write_parquet(tmp_path / "pool" / "1.parquet")
    (problem,) = scan(pool, TASK, context(home, TASK)).info()["incomplete"]
    assert "RED" in problem
    assert problem.isprintable()


def test_equal_addresses_are_counted(home: Home, tmp_path: Path) -> None:
    rows: list[Row] = [("http://a", "a rose", None), ("http://a", "a lily", None)]
    rows += [("http://a", "a rose again", None), ("http://b", "a lily", None)]
    pool = write_pool(tmp_path / "pool", rows, files=2)
    stage = scan(pool, TASK, context(home, TASK))
    assert stage.info()["naming a class"] == 4
    assert stage.info()["duplicate URLs"] == 2
    assert sorted(candidates(stage)["url"]) == ["http://a", "http://b"]


def test_captions_are_looked_through_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = pl.Series(["a rose", "", "x" * 50, "rose", None, "y", "a dog", "the last rose"])
    monkeypatch.setattr(prefilter, "CHUNK_BYTES", 9)
    assert Prefilter(["rose"])(captions).to_list() == [0, 3, 7]


def test_letters_beyond_the_basic_plane_and_soft_hyphens_are_folded() -> None:
    bold = "".join(chr(0x1D5EE + ord(letter) - ord("a")) for letter in "rose")
    assert normalize(pl.Series([bold, "ro\u00adse"])).to_list() == ["rose", "rose"]


def test_a_remote_file_that_arrives_short_is_fetched_again(home: Home, tmp_path: Path) -> None:
    write_pool(tmp_path / "pool", [("http://a", "a rose", None)])
    path = tmp_path / "pool" / "0.parquet"
    listed = RemoteFile(f"file://{path}", path.name, path.stat().st_size + 1, "")
    pool = RemotePool("file://pool", Path("pool"), (listed,), None)
    with pytest.raises(BenchError, match=r"arrived with .* bytes"):
        scan(pool, TASK, context(home, TASK))


@pytest.mark.parametrize(
    "second",
    [{"URL": ["a"]}, {"link": ["a"], "TEXT": ["b"]}, {"url": ["a"], "caption": ["b"]}, None],
)
def test_every_file_of_an_indexs_metadata_is_looked_at(tmp_path: Path, second: Any) -> None:
    (tmp_path / "image.index").write_bytes(b"")
    (tmp_path / "metadata").mkdir()
    pl.DataFrame(ROWS).write_parquet(tmp_path / "metadata" / "0.parquet")
    if second is None:
        (tmp_path / "metadata" / "1.parquet").write_bytes(b"garbage")
    else:
        pl.DataFrame(second).write_parquet(tmp_path / "metadata" / "1.parquet")
    with pytest.raises(RequestError):
        IndexFolder(tmp_path)
