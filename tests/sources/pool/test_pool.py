"""Pools: their columns and declarations, damaged files, and pools behind a URL."""

import gzip
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from bench.core.errors import BenchError, RequestError
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import Query
from bench.tasks import FolderTask
from sources.pool.columns import InvalidFileError
from sources.pool.match_file import match_file
from sources.pool.matcher import CaptionMatcher
from sources.pool.pool import Pool, RemotePool
from sources.pool.remote import RemoteFile
from sources.pool.scan import candidates, require_complete, scan
from tests.conftest import Bench
from tests.support.pools import TASK, Row, classes, context, scan_pool, write_pool


def write_tables(folder: Path, *tables: dict[str, Any] | pl.DataFrame) -> Path:
    """Write one file per table; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, table in enumerate(tables):
        pl.DataFrame(table).write_parquet(folder / f"{index}.parquet")
    return folder


def test_columns_go_by_any_case_and_nsfw_may_be_absent(home: Home) -> None:
    folder = write_tables(
        home.root / "pool",
        {"url": ["http://u0"], "caption": ["a rose"], "nsfw": ["NSFW"]},
        {"Url": ["http://u1"], "Text": ["a rose"], "other": ["NSFW"]},
    )
    stage = scan_pool(home, Pool.find(str(folder), home))
    assert set(classes(stage)) == {"http://u1"}
    assert stage.info()["without a flag column"] == 1


def test_other_columns_are_declared(home: Home) -> None:
    rows = {"link": ["http://u1", "http://u2"], "alt": ["a rose", "rose"], "r": ["OK", "NSFW"]}
    folder = write_tables(home.root / "pool", rows)
    for columns, count in (
        ({"url": "link", "caption": "alt", "nsfw": "r"}, 1),
        ({"url": "link", "caption": "alt"}, 2),
    ):
        (folder / "pool.yaml").write_text(yaml.safe_dump({"columns": columns}))
        assert len(classes(scan_pool(home, Pool.find(str(folder), home)))) == count


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("columns: {link: a}", "unknown setting .*link.*there are: caption"),
        ("- a", "does not hold a mapping"),
        ("columns: {url: a}", "missing required field `caption`"),
    ],
)
def test_a_wrong_declaration_is_refused(home: Home, text: str, complaint: str) -> None:
    pool = write_pool(home.root / "pool", [("http://u1", "a rose", None)])
    (pool.root / "pool.yaml").write_text(text)
    with pytest.raises(RequestError, match=complaint):
        Pool.find(str(pool.root), home)


PAIRS = {"URL": ["http://a/1", "http://a/2"], "TEXT": ["a rose", "a lily"]}


@pytest.mark.parametrize(
    "flags", [[0.99, 0.1], [True, False], [[1], [2]], [b"\xff\xfe", b"NSFW"], [{"a": 1}, {"a": 2}]]
)
def test_a_flag_that_is_not_text_is_not_taken_for_unset(tmp_path: Path, flags: list[Any]) -> None:
    write_tables(tmp_path, {**PAIRS, "NSFW": flags})
    with pytest.raises(InvalidFileError, match=r"column 'NSFW' is .*, not text"):
        match_file(tmp_path / "0.parquet", None, CaptionMatcher(TASK, "substring"))


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["NSFW", "UNLIKELY"])])
def test_a_flag_may_be_a_category(home: Home, kind: Any) -> None:
    flags = pl.Series("NSFW", ["NSFW", "UNLIKELY"], dtype=kind)
    folder = write_tables(home.root / "pool", pl.DataFrame(PAIRS).with_columns(flags))
    assert set(classes(scan_pool(home, Pool("some", folder)))) == {"http://a/2"}


@pytest.mark.parametrize("kind", [pl.Float32, pl.Float64])
def test_a_probability_of_being_unsafe_is_compared_with_a_threshold(home: Home, kind: Any) -> None:
    punsafe = pl.Series([0.05, 0.11, 0.99, None, math.nan], dtype=kind)
    urls = [f"http://u{index}" for index in range(5)]
    rows = {"url": urls, "caption": ["a rose"] * 5, "punsafe": punsafe}
    pool = Pool("some", write_tables(home.root / "pool", rows))
    stage = scan_pool(home, pool)
    assert set(classes(stage)) == {urls[0], urls[3], urls[4]}
    assert (stage.info()["punsafe too high"], stage.info()["without a flag column"]) == (2, 0)
    lenient = scan(pool, TASK, context(home, TASK), max_punsafe=0.98)
    assert set(classes(lenient)) == set(urls) - {urls[2]}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([55.0, 1.0], "punsafe has 55, which is no probability"),
        ([-0.2, 0.5], "punsafe has -0.2, which is no probability"),
        (["NSFW", "0.1"], "'punsafe' is String, not a probability"),
        ([0, 1], "'punsafe' is Int64, not a probability"),
    ],
)
def test_what_is_no_probability_is_not_taken_for_one(
    home: Home, values: list[Any], complaint: str
) -> None:
    folder = write_tables(home.root / "pool", {**PAIRS, "punsafe": values})
    (problem,) = scan_pool(home, Pool("some", folder)).info()["incomplete"]
    assert complaint in problem


def test_a_pool_without_a_flag_says_so_before_anything_is_fetched(
    home: Home, bench: Bench, tmp_path: Path
) -> None:
    flagged = {**PAIRS, "NSFW": ["UNLIKELY", "UNLIKELY"]}
    folder = write_tables(tmp_path / "pool", PAIRS, flagged, {**PAIRS, "punsafe": [0.0, 0.0]})
    words = ("match", "--preset", "mini", "--task", "flowers", "--count", "--pool", str(folder))
    for _ in range(2):  # A finished scan says it again.
        shown = bench(*words)
        assert "2 of 6 pairs have neither an NSFW nor a punsafe column" in shown.err
    (folder / "0.parquet").unlink()
    assert "punsafe" not in bench(*words).err


def test_a_folder_declares_queries_in_every_form(colours: Path, tmp_path: Path) -> None:
    root = tmp_path / "colours"
    root.mkdir()
    for split in ("train", "val", "test"):
        (root / split).symlink_to(colours / split)
    names = FolderTask.load(root).class_names
    queries = {names[0]: {"any": ["x"], "with": ["y"]}, names[1]: ["z", "w"]}
    (root / "task.yaml").write_text(yaml.safe_dump({"queries": queries}))
    task = FolderTask.load(root)
    assert [task.query(name) for name in names] == [
        Query(any=("x",), with_=("y",)),
        Query(any=("z", "w")),
        *(Query(any=(name,)) for name in names[2:]),
    ]


def spoilt_pool(folder: Path) -> Pool:
    """One good file, and one of every kind that cannot be scanned."""
    pool = write_pool(folder, [(f"http://u{i}", f"rose {i}", None) for i in range(200)])
    whole = (folder / "0.parquet").read_bytes()
    (folder / "1.parquet").write_bytes(whole[:-20])
    (folder / "2.parquet").write_bytes(whole[:100] + bytes(300) + whole[400:])
    (folder / "3.parquet").write_bytes(b"")
    pl.read_parquet(folder / "0.parquet").head(0).write_parquet(folder / "4.parquet")
    pl.DataFrame({"link": ["u"], "TEXT": ["rose"]}).write_parquet(folder / "5.parquet")
    pl.DataFrame({"URL": ["u"], "TEXT": [1]}).write_parquet(folder / "6.parquet")
    return pool


def test_files_that_cannot_be_scanned_are_named_and_the_scan_is_incomplete(home: Home) -> None:
    stage = scan_pool(home, spoilt_pool(home.root / "pool"))
    incomplete: list[str] = stage.info()["incomplete"]
    assert [line.partition(":")[0] for line in incomplete] == [f"{i}.parquet" for i in range(1, 7)]
    assert all("\n" not in line for line in incomplete)
    for line, problem in zip(incomplete[3:], ("no rows", "link, TEXT", "'TEXT'"), strict=True):
        assert problem in line
    assert (candidates(stage).height, stage.info()["rows"]) == (200, 200)
    with pytest.raises(BenchError, match=r"6 of the .* 1\.parquet: .*; …; .*--allow-incomplete"):
        require_complete(stage)


def test_an_incomplete_pool_has_to_be_allowed(bench: Bench, preset: Path, tmp_path: Path) -> None:
    pool = write_tables(tmp_path / "pool", PAIRS, {"link": ["u"], "TEXT": ["rose"]})
    words = ("build", "--preset", str(preset), "--source", "retrieved", "--task", "aircraft",
             "--set", f"source.pool={pool}")  # fmt: skip
    refused = bench(*words)
    assert refused.code == 1
    assert "1 of the pool's files could not be scanned: 1.parquet:" in refused.err
    assert "no caption of the pool" in bench(*words, "--allow-incomplete").err


@pytest.mark.parametrize("place", range(20, 500, 24))
def test_a_damaged_footer_makes_a_file_invalid_or_is_unread(tmp_path: Path, place: int) -> None:
    path = write_tables(tmp_path, PAIRS) / "0.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-place] + b"\x7f" * 3 + content[3 - place :])
    with suppress(InvalidFileError):
        assert match_file(path, None, CaptionMatcher(TASK, "substring")).pairs.height <= 2


def test_what_a_file_calls_its_columns_is_not_obeyed(home: Home) -> None:
    folder = write_tables(home.root / "pool", PAIRS, {"\x1b[31mRED\x07\n": ["x"]})
    (problem,) = scan_pool(home, Pool("some", folder)).info()["incomplete"]
    assert "RED" in problem
    assert problem.isprintable()


def test_a_remote_pool_is_scanned_as_a_local_one_and_not_kept(home: Home, tmp_path: Path) -> None:
    rows: list[Row] = [("http://u1", "a rose", None), ("http://u2", "a lily", "NSFW")]
    write_pool(tmp_path / "pool", rows, files=2)
    remote = fsspec.filesystem("memory")
    remote.put(str(tmp_path / "pool"), "/some/pool", recursive=True)
    try:
        pool = Pool.find("memory://some/pool", home)
        assert classes(scan_pool(home, pool)) == {"http://u1": "rose"}
        kept = {path.name for path in home.data.rglob("*.parquet")}
        assert kept == {"candidates.parquet", "counts.parquet"}
        remote.pipe("/some/pool/pool.yaml", b"columns: {url: URL, caption: TEXT}")
        declared = Pool.find("memory://some/pool", home)
        assert declared.fingerprint != pool.fingerprint
        assert len(classes(scan_pool(home, declared))) == 2
    finally:
        remote.rm("/some", recursive=True)


def nested_pool(root: Path) -> Path:
    """Write a pool with files at the top and below, and what is none of its files."""
    for number, name in enumerate(["0.parquet", "sub/1.PARQUET", "sub/deep/2.parquet"]):
        write_tables(root / "made", {"URL": [f"http://u{number}"], "TEXT": ["a rose"]})
        (root / "pool" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "made/0.parquet").rename(root / "pool" / name)
    (root / "pool/.cache").mkdir()
    for name in ("._0.parquet", ".cache/0.parquet", "notes.txt", "sub/pool.yaml"):
        (root / "pool" / name).write_bytes(b"no table")
    return root / "pool"


def test_a_pool_is_all_its_files_at_any_depth_but_hidden_ones(home: Home, tmp_path: Path) -> None:
    pool = Pool.find(str(nested_pool(tmp_path)), home)
    stage = scan_pool(home, pool)
    assert (len(classes(stage)), stage.info()["incomplete"]) == (3, [])
    before = pool.fingerprint
    assert pool.notes() == [f"{pool.root}: 4 of 7 files not read: 2 hidden, 1 .txt, 1 .yaml"]
    for name in ("._0.parquet", "notes.txt"):
        (pool.root / name).unlink()
    assert pool.fingerprint == before
    (pool.root / "sub/deep/2.parquet").unlink()
    assert pool.fingerprint != before


def test_a_remote_pool_is_all_its_files_too(home: Home, tmp_path: Path) -> None:
    remote = fsspec.filesystem("memory")
    remote.put(str(nested_pool(tmp_path)), "/nested/pool", recursive=True)
    try:
        pool = Pool.find("memory://nested/pool", home)
        assert [file.rpartition("/")[2] for file in pool.files()] == [
            *("0.parquet", "1.PARQUET", "2.parquet"),
        ]
        assert len(classes(scan_pool(home, pool))) == 3
    finally:
        remote.rm("/nested", recursive=True)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("memory://nowhere", "cannot list memory://nowhere"),
        ("nothing://a/b", "cannot list nothing://a/b: .*[Pp]rotocol"),
    ],
)
def test_a_remote_pool_has_to_exist(home: Home, url: str, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        Pool.find(url, home)


def test_a_remote_file_that_arrives_short_is_fetched_again(home: Home) -> None:
    path = write_pool(home.root / "pool", [("http://a", "a rose", None)]).root / "0.parquet"
    listed = RemoteFile(f"file://{path}", path.name, path.stat().st_size + 1, "")
    with pytest.raises(BenchError, match=r"arrived with .* bytes"):
        scan_pool(home, RemotePool("file://pool", Path("pool"), listing=(listed,)))


@pytest.mark.parametrize("column", ["URL", "TEXT"])
@pytest.mark.parametrize(
    "kind",
    [pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string_view(), pa.binary(),
     pa.dictionary(pa.int8(), pa.binary())],
)  # fmt: skip
def test_texts_of_every_type_are_read(home: Home, column: str, kind: pa.DataType) -> None:
    table = pl.DataFrame(PAIRS).to_arrow()
    at = table.column_names.index(column)
    values = pa.array(PAIRS[column])
    coded = values.dictionary_encode() if pa.types.is_dictionary(kind) else values
    (home.root / "pool").mkdir(parents=True)
    pq.write_table(table.set_column(at, column, coded.cast(kind)), home.root / "pool/0.parquet")
    stage = scan_pool(home, Pool.find(str(home.root / "pool"), home))
    assert classes(stage) == {"http://a/1": "rose", "http://a/2": "lily"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([None, None], "its column 'TEXT' is Null, not text"),
        ([["a rose"], ["a lily"]], r"its column 'TEXT' is List\(String\), not text"),
        ([b"a rose \xff", b"a lily"], r'invalid utf8 .*"TEXT"'),
    ],
)
def test_what_is_no_text_is_named_with_its_file(
    home: Home, values: list[Any], complaint: str
) -> None:
    folder = write_tables(home.root / "pool", {**PAIRS, "TEXT": values})
    (problem,) = scan_pool(home, Pool("some", folder)).info()["incomplete"]
    assert re.search(f"^0.parquet: .*{complaint}", problem)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html><html>" + b" " * 99, "it is a web page"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "it is a pointer of Git LFS"),
        (b"\x1f\x8b" + b"\0" * 99, "it is a gzip file"),
        (b"PARE" + b"\0" * 99 + b"PARE", "it is encrypted"),
    ],
)
def test_a_file_that_is_no_parquet_is_told_apart(home: Home, content: bytes, what: str) -> None:
    folder = write_tables(home.root / "pool", PAIRS)
    (folder / "1.parquet").write_bytes(content)
    (problem,) = scan_pool(home, Pool("some", folder)).info()["incomplete"]
    assert problem.startswith(f"1.parquet: {what}")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"caption": ["x", "y"]}, "'TEXT', not 'caption'"),
        ({"top_caption": ["x", "y"], "image_url": ["x", "y"]},
         "'URL', not 'image_url'; 'TEXT', not 'top_caption'"),
        ({"url": ["x", "y"]}, "'URL', not 'url'"),
        ({"text_length": [1, 2], "texture": ["x", "y"]}, ""),
    ],
)  # fmt: skip
def test_the_choice_among_several_columns_is_said_before_the_scan(
    bench: Bench, tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    folder = write_tables(tmp_path / "pool", {**PAIRS, **more})
    words = ("match", "--preset", "mini", "--task", "flowers", "--count", "--pool", str(folder))
    note = f"of the pool's columns these are read: {said} (to choose, write a pool.yaml"
    assert (note in bench(*words).err) if said else ("these are read" not in bench(*words).err)
    (folder / "pool.yaml").write_text("columns: {url: URL, caption: TEXT}")
    assert "these are read" not in bench(*words).err


def test_a_folder_without_parquet_files_says_what_it_holds(home: Home, tmp_path: Path) -> None:
    folder = home.root / "pools" / "mine"
    folder.mkdir(parents=True)
    with pytest.raises(MissingError, match=f"{folder} is empty; put the pool's files into"):
        Pool.find("mine", home)
    (folder / "a.tar.gz").touch()
    with pytest.raises(MissingError, match=r"no Parquet files, but 1 \.tar\.gz; unpack each to a "):
        Pool.find("mine", home)
    (folder / "a.txt").touch()
    (folder / "b.csv.gz").touch()
    (folder / "c.CSV.GZ").touch()
    with pytest.raises(MissingError, match=r"but 2 \.csv\.gz, 1 \.tar\.gz, 1 \.txt; convert each"):
        Pool.find("mine", home)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.parquet.gz").touch()
    with pytest.raises(MissingError, match=r"but 1 \.parquet\.gz; unpack them"):
        Pool.find(str(tmp_path / "packed"), home)
    file = write_tables(tmp_path, PAIRS) / "0.parquet"
    with pytest.raises(MissingError, match=r"is the file .*; give the folder it is in"):
        Pool.find(str(file), home)


def as_gzip(frame: pl.DataFrame, path: Path) -> None:
    path.write_bytes(gzip.compress(frame.write_csv().encode()))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", pl.DataFrame.write_csv),
        ("a.b.csv.gz", as_gzip),
        ("a.tsv", lambda frame, path: frame.write_csv(path, separator="\t")),
        ("a.jsonl", pl.DataFrame.write_ndjson),
        ("a.json", pl.DataFrame.write_json),
        ("a.feather", pl.DataFrame.write_ipc),
    ],
)
def test_the_line_that_converts_a_file_works(
    home: Home, tmp_path: Path, name: str, write: Callable[[pl.DataFrame, Path], object]
) -> None:
    folder = tmp_path / "it's a pool"
    folder.mkdir()
    write(pl.DataFrame(PAIRS), folder / name)
    with pytest.raises(MissingError) as caught:
        Pool.find(str(folder), home)
    command = caught.value.fix.removeprefix("convert each: python ")
    subprocess.run([sys.executable, *shlex.split(command)], check=True)
    assert len(classes(scan_pool(home, Pool.find(str(folder), home)))) == 2


def test_a_declaration_under_another_name_is_not_left_unread(home: Home, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [("http://a/1.png", "a rose", None)])
    (pool.root / "pool.yml").write_text("columns: {url: URL, caption: TEXT}")
    with pytest.raises(RequestError, match=r"pool\.yml, which is not read; rename it to pool\.ya"):
        Pool.find(str(pool.root), home)
