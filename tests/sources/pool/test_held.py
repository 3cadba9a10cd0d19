"""Pools that hold their images: their kinds, where captions are read, and what is refused."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench.core.errors import BenchError, RequestError
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.storage.image_codec import ImageFormat, decode
from bench.storage.stage import Stage
from bench.storage.tar_shards import read_bytes
from sources.download.attempts import failures
from sources.download.download import download
from sources.download.failures import count_kinds
from sources.download.options import DownloadOptions
from sources.pool.pool import Pool
from sources.pool.scan import candidates, require_complete
from tests.conftest import Bench
from tests.support.held_pools import (
    Pair,
    add,
    write_folder,
    write_sidecar,
    write_table,
    write_tar,
)
from tests.support.pictures import photograph, written
from tests.support.pools import TASK, classes, context, scan_pool, write_pool

PAIRS: list[Pair] = [
    {"url": "http://a/0", "caption": "a rose", "NSFW": "UNLIKELY", "punsafe": 0.01},
    {"url": "http://a/1", "caption": "a lily", "NSFW": "UNLIKELY", "punsafe": 0.5},
    {"url": "http://a/2", "caption": "a rose", "NSFW": "NSFW", "punsafe": 0.0},
    {"url": "http://a/3", "caption": "a tulip", "NSFW": "UNLIKELY", "punsafe": 0.0},
    {"url": "http://a/4", "caption": "lily!", "NSFW": "UNLIKELY", "punsafe": 0.02},
    {"url": None, "caption": "rose", "NSFW": None, "punsafe": None},
]
"""Of these 0, 4 and 5 are candidates."""


def scanned(home: Home, folder: Path) -> Stage:
    return scan_pool(home, Pool.find(str(folder), home))


def read(home: Home, folder: Path, **options: Any) -> tuple[Stage, Stage]:
    """Return a pool's scan and the images that were read from it."""
    stage = scanned(home, folder)
    settings = DownloadOptions(**options)
    pool = Pool.find(str(folder), home)
    (images,) = download(pool, stage, settings, ImageFormat(suffix=".png"), context(home, TASK))
    return stage, images


def pictures(stages: tuple[Stage, Stage]) -> dict[str, bytes]:
    """Return url to pixels of the images that were read."""
    scan, images = stages
    urls = dict(candidates(scan).select("key", "url").iter_rows())
    found = {}
    for shard in images.shards():
        rows = pl.read_parquet(shard / "index.parquet").drop_nulls("offset")
        for key, offset, size in rows.select("key", "offset", "size").iter_rows():
            content = read_bytes(shard / "images.tar", offset, size)
            found[urls[key]] = decode(content).tobytes()
    return found


def as_tars(folder: Path) -> str:
    write_tar(folder / "00000.tar", PAIRS)
    return "00000.tar/000000005.png"


def as_tars_with_json_alone(folder: Path) -> str:
    write_tar(folder / "00000.TAR", PAIRS, members=("json",))
    return "00000.TAR/000000005.png"


def as_tars_with_tables(folder: Path) -> str:
    write_tar(folder / "sub" / "00000.tar", PAIRS, members=())
    write_sidecar(folder / "sub" / "00000.tar", PAIRS)
    (folder / "sub" / "00000_stats.json").write_text("{}")
    return "sub/00000.tar/000000005"


def as_tables(folder: Path) -> str:
    write_table(folder / "train-0.parquet", PAIRS)
    return "train-0.parquet/5"


def as_tables_of_bytes(folder: Path) -> str:
    write_table(folder / "train-0.parquet", PAIRS, struct=False)
    return "train-0.parquet/5"


def as_folder(folder: Path) -> str:
    write_folder(folder, PAIRS)
    return "some/5.png"


KINDS = [
    as_tars, as_tars_with_json_alone, as_tars_with_tables, as_tables, as_tables_of_bytes, as_folder
]  # fmt: skip


@pytest.mark.parametrize("write", KINDS)
def test_every_kind_gives_the_same_candidates_and_images(
    home: Home, tmp_path: Path, write: Any
) -> None:
    name = write(tmp_path / "pool")
    stages = read(home, tmp_path / "pool")
    expected = {"http://a/0": "rose", "http://a/4": "lily", name: "rose"}
    assert classes(stages[0]) == expected
    counts = stages[0].info()
    assert counts["rows"] == 6
    assert (counts["flagged NSFW or UNSURE"], counts["punsafe too high"]) == (1, 1)
    assert (counts["no web URL"], counts["without a flag column"]) == (0, 0)
    numbers = dict(zip(expected, (0, 4, 5), strict=True))
    assert pictures(stages) == {url: photograph(at).tobytes() for url, at in numbers.items()}


def test_images_are_read_in_shards_and_again_after_a_loss(home: Home, tmp_path: Path) -> None:
    pairs = [{"caption": f"a rose {at}"} for at in range(23)]
    write_table(tmp_path / "pool" / "0.parquet", pairs)
    stages = read(home, tmp_path / "pool", shard_size=5)
    assert len(stages[1].shards()) == 5
    before, whole = stages[1].output, pictures(stages)
    assert whole == {f"0.parquet/{at}": photograph(at).tobytes() for at in range(23)}
    shutil.rmtree(stages[1].shards()[2])
    (stages[1].folder / "done.json").unlink()
    assert read(home, tmp_path / "pool", shard_size=5)[1].output == before
    assert {path.name for path in stages[1].shards()[2].iterdir()} == {
        "images.tar", "index.parquet",
    }  # fmt: skip


def test_what_is_lost_is_counted_by_kind(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = written(photograph(0), "PNG")
    pairs: list[Pair] = [
        {"caption": "a rose"},
        {"caption": "a rose", "image": b"<html>"},
        {"caption": "a rose", "image": picture[: len(picture) // 2]},
        {"caption": "a rose", "image": picture + bytes(200_000)},
        {"caption": "a rose", "status": "failed_to_download"},
    ]
    write_tar(tmp_path / "pool" / "0.tar", pairs)
    write_sidecar(tmp_path / "pool" / "0.tar", pairs)
    monkeypatch.setattr("sources.download.read_held.MAX_BYTES", 100_000)
    _, images = read(home, tmp_path / "pool")
    lost = {"not an image": 2, "not in the pool": 1, "too large": 1}
    assert count_kinds(failures([images])["failure"]) == lost


def test_a_hub_table_may_lack_an_image_and_a_folder_a_file(home: Home, tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", [{"caption": "a rose"}, {"caption": "a lily"}])
    (tmp_path / "folder" / "some" / "1.png").unlink()
    table = pl.DataFrame(
        {
            "text": ["a rose", "a lily"],
            "image": [
                {"bytes": written(photograph(0), "PNG"), "path": "a"},
                {"bytes": None, "path": "b"},
            ],
        }
    )
    (tmp_path / "table").mkdir()
    table.write_parquet(tmp_path / "table" / "0.parquet")
    for kind in ("folder", "table"):
        stages = read(home, tmp_path / kind)
        assert len(pictures(stages)) == 1
        assert count_kinds(failures([stages[1]])["failure"]) == {"not in the pool": 1}


def test_an_address_in_several_tars_counts_once_where_it_has_its_image(
    home: Home, tmp_path: Path
) -> None:
    twice: list[list[Pair]] = [
        [{"url": "http://a/0", "caption": "a rose", "status": "failed_to_download"}],
        [{"url": "http://a/0", "caption": "a rose again"}],
        [{"url": "http://a/0", "caption": "a rose, later"}],
    ]
    for at, pairs in enumerate(twice):
        write_tar(tmp_path / "pool" / f"{at}.tar", pairs)
        write_sidecar(tmp_path / "pool" / f"{at}.tar", pairs)
    stages = read(home, tmp_path / "pool")
    assert candidates(stages[0])["caption"].to_list() == ["a rose"]
    assert stages[0].info()["duplicate URLs"] == 2
    assert len(pictures(stages)) == 1


def test_of_a_broken_tar_what_comes_before_is_read_if_that_is_allowed(
    home: Home, tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    write_tar(pool / "0.tar", PAIRS)
    whole = (pool / "0.tar").read_bytes()
    (pool / "1.tar").write_bytes(whole[: len(whole) // 2])
    (pool / "2.tar").write_bytes(b"")
    (pool / "3.tar").write_bytes(b"\x1f\x8b" + whole)
    with tarfile.open(pool / "4.tar", "w") as tar:
        for content in (b"a rose", b"a lily"):
            add(tar, "x.jpg", b"")
            add(tar, "x.txt", content)
    with tarfile.open(pool / "5.tar", "w") as tar:
        add(tar, "x.jpg", b"")
    stage = scanned(home, pool)
    problems = stage.info()["incomplete"]
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"{at}.tar" for at in range(1, 6)
    ]
    for problem, why in zip(
        problems,
        ("cut short within '.*'; 3 whole keys", "is empty", "is compressed", "two members 'x.jpg'",
         "none of its images has a caption"),
        strict=True,
    ):  # fmt: skip
        assert re.search(why, problem), problem
    with pytest.raises(BenchError, match=r"5 of the pool's files could not be scanned: 1\.tar"):
        require_complete(stage)
    assert {"http://a/0", "http://a/4"} <= set(classes(stage))


def test_hostile_members_are_names_and_no_more(home: Home, tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    names = ["../../escape", "/etc/absolute", "a\x1b[2Jb", "\udcff", "deep/er/one", "v.2"]
    with tarfile.open(tmp_path / "pool" / "0.tar", "w") as tar:
        for at, name in enumerate(names):
            add(tar, f"{name}.png", written(photograph(at), "PNG"))
            add(tar, f"{name}.txt", b"a rose")
        add(tar, "._0.png", b"what macOS leaves")
        add(tar, "big.txt", b"a rose" + bytes(1_000_001))
        add(tar, "big.png", b"")
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    before = {path for path in tmp_path.rglob("*") if "home" not in path.parts}
    stages = read(home, tmp_path / "pool")
    assert len(pictures(stages)) == len(names)
    assert {path for path in tmp_path.rglob("*") if "home" not in path.parts} == before
    assert stages[0].info()["incomplete"] == ["0.tar: 1 of its texts cannot be read: 'big.txt', …"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"file_name": "../x.png", "text": "a rose"}', "leads out of the folder"),
        ('{"file_name": "/etc/x.png", "text": "a rose"}', "leads out of the folder"),
        ('{"text": "a rose"}', "line 2 has no file_name"),
        ('{"file_name": "x.png", "text": 3}', "line 2: the caption is 3"),
        ('{"file_name": "x.png", "text": "a rose", "punsafe": 80}', "80, which is no probability"),
        ("[1]", "line 2 is no JSON object"),
        ("\u00ff", "line 2 is no JSON object"),
    ],
)
def test_a_wrong_line_is_named(home: Home, tmp_path: Path, line: str, complaint: str) -> None:
    write_folder(tmp_path / "pool", [{"caption": "a rose"}])
    with (tmp_path / "pool" / "metadata.jsonl").open("a", encoding="latin-1") as stream:
        stream.write(line + "\n")
    (problem,) = scanned(home, tmp_path / "pool").info()["incomplete"]
    assert complaint in problem


def test_what_may_be_several_kinds_has_to_be_declared(home: Home, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    write_tar(pool / "0.tar", PAIRS)
    write_pool(pool / "list", [("http://u", "a rose", None)])
    write_folder(pool / "folder", PAIRS)
    with pytest.raises(RequestError, match=r"several kinds of pool: tars .*addresses.*folder"):
        Pool.find(str(pool), home)
    for kind, count in (("addresses", 1), ("tars", 3), ("folder", 3)):
        (pool / "pool.yaml").write_text(f"kind: {kind}")
        assert Pool.find(str(pool), home).kind == kind
        assert len(classes(scanned(home, pool))) == count
    (pool / "pool.yaml").write_text("kind: zip")
    with pytest.raises(RequestError, match=r"unknown kind 'zip'|kind"):
        Pool.find(str(pool), home)


def test_names_of_columns_and_members_are_declared(home: Home, tmp_path: Path) -> None:
    pairs = [{"alt": "a rose", "caption": "nothing", "link": "http://a/0", "rating": "NSFW"}]
    write_tar(tmp_path / "tars" / "0.tar", [{**pairs[0], "caption": "a lily"}])
    write_table(tmp_path / "tables" / "0.parquet", [{**pairs[0], "other": "x"}])
    for name in ("tars", "tables"):
        folder = tmp_path / name
        (folder / "pool.yaml").write_text("columns: {caption: alt, url: link}")
        assert classes(scanned(home, folder)) == {"http://a/0": "rose"}
        (folder / "pool.yaml").write_text("columns: {caption: alt, url: link, nsfw: rating}")
        assert classes(scanned(home, folder)) == {}
    (tmp_path / "tars" / "pool.yaml").write_text("columns: {caption: .txt}")
    assert classes(scanned(home, tmp_path / "tars")) == {"0.tar/000000000.png": "lily"}
    table = pl.read_parquet(tmp_path / "tables" / "0.parquet").with_columns(mask="image")
    table.write_parquet(tmp_path / "tables" / "0.parquet")
    (tmp_path / "tables" / "pool.yaml").write_text("columns: {caption: alt}")
    (problem,) = scanned(home, tmp_path / "tables").info()["incomplete"]
    assert "images in 'image', 'mask'" in problem
    (tmp_path / "tables" / "pool.yaml").write_text("columns: {caption: alt}\nimage: mask")
    assert len(pictures(read(home, tmp_path / "tables"))) == 1


def test_a_sidecar_without_keys_and_a_tar_without_sidecar_beside_one(
    home: Home, tmp_path: Path
) -> None:
    write_tar(tmp_path / "pool" / "0.tar", PAIRS)
    write_tar(tmp_path / "pool" / "1.tar", PAIRS)
    pl.DataFrame({"caption": ["a rose"]}).write_parquet(tmp_path / "pool" / "1.parquet")
    stage = scanned(home, tmp_path / "pool")
    assert "1.parquet beside it: it has no column 'key'" in stage.info()["incomplete"][0]
    assert len(classes(stage)) == 3


def test_match_says_what_the_pool_is(bench: Bench, tmp_path: Path) -> None:
    write_tar(tmp_path / "pool" / "0.tar", [{"caption": "a hibiscus"}])
    words = ("match", "--preset", "mini", "--task", "flowers", "--pool", str(tmp_path / "pool"))
    assert "tars that hold their images" in bench(*words).out
    (tmp_path / "pool" / "1.tar.gz").touch()
    done = bench(*words, "--json")
    assert done.json["kind"] == "tars"
    assert "1 of 2 files not read: 1 .gz" in done.err


def test_the_kind_does_not_hang_on_a_damaged_file(home: Home, tmp_path: Path) -> None:
    as_tables(tmp_path / "pool")
    (tmp_path / "pool" / "0.parquet").write_bytes(b"PAR1")
    stage = scanned(home, tmp_path / "pool")
    assert Pool.find(str(tmp_path / "pool"), home).kind == "parquet"
    assert len(stage.info()["incomplete"]) == 1
    assert len(classes(stage)) == 3


def test_a_changed_image_is_another_pool(home: Home, tmp_path: Path) -> None:
    for write in KINDS:
        write(tmp_path / write.__name__)
        pool = Pool.find(str(tmp_path / write.__name__), home)
        before = pool.fingerprint
        assert before == Pool.find(str(pool.root), home).fingerprint
        largest = max(pool.root.rglob("*.*"), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes() + b"x")
        assert pool.fingerprint != before


def test_a_missing_pool_says_so(home: Home) -> None:
    with pytest.raises(MissingError, match="there is no pool 'nowhere'"):
        Pool.find("nowhere", home)


def test_an_index_finds_addresses_and_no_held_images(bench: Bench, tmp_path: Path) -> None:
    write_tar(tmp_path / "pool" / "0.tar", PAIRS)
    knn = json.dumps({"index": str(tmp_path)})
    refused = bench(
        "run", "--preset", "mini", "--source", "retrieved", "--task", "flowers", "--n", "8",
        "--set", f"source.pool={tmp_path / 'pool'}", "--set", "source.retrieval=both",
        "--set", f"source.knn={knn}",
    )  # fmt: skip
    assert refused.code == 2
    assert "retrieval=both means nothing to the pool" in refused.err


def test_a_key_in_two_rows_beside_a_tar_is_refused(home: Home, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    for at in range(2):
        write_tar(pool / f"{at}.tar", [{"caption": "a rose"}] * 2, members=())
    pl.DataFrame(
        {
            "key": ["000000000", "000000000"],
            "caption": ["a rose", "a lily"],
            "url": ["http://a/0", "http://a/1"],
        }
    ).write_parquet(pool / "0.parquet")
    (pool / "1.parquet").write_bytes(b"PAR1")
    stage = scanned(home, pool)
    twice, damaged = stage.info()["incomplete"]
    assert twice == "0.tar: 0.parquet beside it has two rows of the key '000000000'"
    assert damaged.startswith("1.tar: 1.parquet beside it: ")
    assert classes(stage) == {}


def test_a_tar_cut_short_before_its_first_caption_is_called_so(home: Home, tmp_path: Path) -> None:
    write_tar(tmp_path / "pool" / "0.tar", PAIRS)
    whole = (tmp_path / "pool" / "0.tar").read_bytes()
    (tmp_path / "pool" / "0.tar").write_bytes(whole[: whole.index(b"000000000.txt") + 515])
    (problem,) = scanned(home, tmp_path / "pool").info()["incomplete"]
    assert "cut short within '000000000.txt'" in problem


def test_a_folder_without_captions_is_named(home: Home, tmp_path: Path) -> None:
    write_folder(tmp_path / "pool", [{"label": 1}])
    (problem,) = scanned(home, tmp_path / "pool").info()["incomplete"]
    assert problem == "metadata.jsonl: none of its lines has a text or caption"


def test_names_in_a_folder_are_as_macos_and_windows_write_them(home: Home, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "rose\u0301.png").write_bytes(written(photograph(0), "PNG"))
    lines = [{"file_name": name, "text": "a rose"} for name in ("ros\u00e9.png", "x" * 300)]
    table = pool / "metadata.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)), "utf-8-sig")
    stages = read(home, pool)
    assert stages[0].info()["incomplete"] == []
    assert [*pictures(stages)] == ["ros\u00e9.png"]
    table.write_text(json.dumps({"file_name": "rose\u0301.png", "text": "a rose"}))
    assert [*pictures(read(home, pool))] == ["ros\u00e9.png"]


def test_a_declared_column_of_images_makes_the_kind(home: Home, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    write_table(pool / "0.parquet", [{"caption": "a rose"}], struct=False)
    table = pl.read_parquet(pool / "0.parquet").rename({"image": "picture"})
    table.write_parquet(pool / "0.parquet")
    (pool / "pool.yaml").write_text("image: picture")
    assert Pool.find(str(pool), home).kind == "parquet"
    assert len(pictures(read(home, pool))) == 1


def test_images_with_a_csv_are_told_how_it_is_converted(home: Home, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "x.png").write_bytes(written(photograph(0), "PNG"))
    (pool / "metadata.csv").write_text("file_name,text\nx.png,a rose\n")
    with pytest.raises(MissingError, match=r"images and metadata\.csv") as refused:
        Pool.find(str(pool), home)
    command = refused.value.fix.removeprefix("convert each: python ")
    subprocess.run([sys.executable, *shlex.split(command)], check=True)
    assert len(pictures(read(home, pool))) == 1
