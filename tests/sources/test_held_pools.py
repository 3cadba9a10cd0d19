"""One pool, five ways: by addresses and as files that hold its images, a run keeps the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench.core.paths import Home
from bench.miniworld.pool import build_pool, read_truth
from bench.miniworld.server import answer_for
from bench.miniworld.tars import build_tars
from bench.plugins import source_of
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from tests.conftest import Bench, Web
from tests.support.contexts import context
from tests.support.held_pools import Pair, write_folder, write_table, write_tar
from tests.support.source_options import options_of

MINI = find_task("mini-aircraft")


def living(web: Web) -> list[Pair]:
    """Return the pairs whose image is there, with its bytes."""
    tables = (pl.read_parquet(file) for file in sorted(web.pool.glob("*.parquet")))
    pairs = pl.concat(tables).rename({"TEXT": "caption", "URL": "url"}).iter_rows(named=True)
    return [
        {**pair, "image": answer_for(row).body}
        for pair, row in zip(pairs, read_truth(web.world), strict=True)
        if row.status == "ok"
    ]


def tars_with_tables(web: Web, folder: Path) -> None:
    build_tars(web.world, folder)
    for table in folder.glob("*.parquet"):  # As the pool that is served.
        urls = pl.col("url").str.replace("miniworld.invalid", web.host, literal=True)
        pl.read_parquet(table).with_columns(urls).write_parquet(table)


def tars(web: Web, folder: Path) -> None:
    pairs = living(web)
    for part in range(3):
        write_tar(
            folder / f"{part}.tar", pairs[part * len(pairs) // 3 : (part + 1) * len(pairs) // 3]
        )


def tables(web: Web, folder: Path) -> None:
    write_table(folder / "0.parquet", living(web))


def pictures(web: Web, folder: Path) -> None:
    write_folder(folder, living(web))


@pytest.fixture(scope="module")
def collected(
    web: Web, tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], ImageSet]:
    home = Home(tmp_path_factory.mktemp("home"))

    def collect(pool: Path) -> ImageSet:
        options = options_of(
            "retrieved", pool=str(pool), images__size=32, suffix=".png", shard_size=100, retries=0,
            allow_private=[web.host], filter__model=str(tiny_clip), tau=0.0,
        )  # fmt: skip
        return source_of("retrieved", options).collect(context(home, MINI))

    return collect


@pytest.fixture(scope="module")
def addressed(web: Web, collected: Callable[[Path], ImageSet]) -> ImageSet:
    return collected(web.pool)


def kept(images: ImageSet) -> list[tuple[Any, ...]]:
    columns = ("key", "label", "class_name", "caption", "origin", "url", "sha256", "width")
    return images.index().select(columns).rows()


@pytest.mark.parametrize("write", [tars_with_tables, tars, tables, pictures])
def test_the_same_images_are_kept(
    web: Web,
    tmp_path: Path,
    collected: Callable[[Path], ImageSet],
    addressed: ImageSet,
    write: Callable[[Web, Path], None],
) -> None:
    write(web, tmp_path / "pool")
    held = collected(tmp_path / "pool")
    assert kept(held) == kept(addressed)
    assert len(held) > 20
    assert held.manifest.content == addressed.manifest.content
    scores = (images.index()["clip_score"] for images in (held, addressed))
    assert max(abs(a - b) for a, b in zip(*scores, strict=True)) < 1e-3
    counts, expected = held.manifest.stage_counts, addressed.manifest.stage_counts
    assert counts["fetched"] == expected["fetched"]
    assert counts["duplicates"] == expected["duplicates"]
    if write is tars_with_tables:  # They know what was lost, too.
        assert counts["matched"] == expected["matched"]
        assert counts["failed"] == {"not in the pool": sum(expected["failed"].values())}


def test_the_miniature_worlds_tars_hold_what_its_server_sends(tmp_path: Path) -> None:
    build_pool(tmp_path / "world", size=200, seed=1)
    build_tars(tmp_path / "world", tmp_path / "tars")
    tables = [pl.read_parquet(path) for path in sorted((tmp_path / "tars").glob("*.parquet"))]
    assert sum(table.height for table in tables) == 200
    alive = [row.status == "ok" for row in read_truth(tmp_path / "world")]
    assert (pl.concat(tables)["status"] == "success").to_list() == alive
    assert len(list((tmp_path / "tars").glob("*.tar"))) == len(tables)


@pytest.mark.slow(minutes=2)
def test_the_miniature_worlds_pool_is_one_by_name_both_ways(bench_process: Bench) -> None:
    words = ("match", "--preset", "mini", "--task", "aircraft", "--json", "--pool")
    held, addressed = (bench_process(*words, name).json for name in ("miniworld-tars", "miniworld"))
    assert held["kind"] == "tars"
    assert held["classes"] == addressed["classes"]
    assert held["counts"] == addressed["counts"]
