"""Retrieved images: what is found, fetched, kept and dropped, and why."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.work_selection import WorkSelection
from bench.miniworld import pool
from bench.miniworld.pool import read_truth
from bench.plugins import source_of
from bench.storage.image_codec import decode
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage, UnfinishedError
from bench.storage.tar_shards import read_bytes
from bench.tasks import find_task
from sources.download.attempts import failures
from sources.download.download import download
from sources.download.failures import count_kinds
from sources.download.options import DownloadOptions
from sources.pool.pool import Pool
from sources.pool.scan import candidates, scan
from sources.screening.dedup import REMOVED
from tests.conftest import Web
from tests.support.contexts import context, image_of
from tests.support.hostile_web import SMALL
from tests.support.source_options import options_of

MINI = find_task("mini-aircraft")


def small(place: str) -> DownloadOptions:
    return DownloadOptions(shard_size=100, retries=0, allow_private=(place,))


@pytest.fixture(scope="module")
def fetched(web: Web, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Stage, Stage]:
    home = Home(tmp_path_factory.mktemp("fetched"))
    served = Pool(str(web.pool), web.pool)
    scanned = scan(served, MINI, context(home, MINI))
    return home, scanned, download(served, scanned, small(web.host), SMALL, context(home, MINI))[0]


def index_of(stage: Stage) -> pl.DataFrame:
    return pl.concat(
        pl.read_parquet(shard / "index.parquet").with_columns(folder=pl.lit(str(shard)))
        for shard in stage.shards()
    )


def path_of(url: str) -> str:
    return "images/" + url.rpartition("/")[2]


def test_every_candidate_and_failure_is_counted(
    web: Web, fetched: tuple[Home, Stage, Stage]
) -> None:
    _, scanned, stage = fetched
    matched, index = candidates(scanned), index_of(stage)
    assert index["key"].to_list() == matched["key"].to_list()
    assert len(stage.shards()) == -(-matched.height // 100) > 1
    truth = {row.path: row.status for row in read_truth(web.world)}
    statuses = [truth[path_of(url)] for url in matched["url"]]
    whole = [offset is not None for offset in index["offset"]]
    assert [status == "ok" for status in statuses] == whole
    count = Counter(statuses)
    assert 0 < count["ok"] < len(statuses)
    failed = failures([stage])["failure"]
    assert failed.null_count() == count["ok"]
    dead = {f"http {code}": count[code] for code in ("404", "403", "500") if count[code]}
    unreadable = count["html"] + count["truncated"] + count["empty"]
    assert count_kinds(failed) == {**dead, "not an image": unreadable}


def test_an_address_gives_the_image_it_shows(web: Web, fetched: tuple[Home, Stage, Stage]) -> None:
    _, scanned, stage = fetched
    truth = {row.path: row for row in read_truth(web.world)}
    rows = candidates(scanned).join(index_of(stage).drop_nulls("offset"), on="key")
    assert rows.height > 50
    for row in rows.sample(25, seed=0).iter_rows(named=True):
        tar = Path(row["folder"]) / "images.tar"
        image = decode(read_bytes(tar, row["offset"], row["size"]))
        assert np.array_equal(np.asarray(image), pool.image_of(truth[path_of(row["url"])]))


@pytest.mark.slow
def test_a_lost_shard_comes_back(web: Web, fetched: tuple[Home, Stage, Stage], home: Home) -> None:
    before, scanned, stage = fetched
    shutil.copytree(before.root, home.root)
    shutil.rmtree(home.data / stage.key / "00001")
    (home.data / stage.key / "done.json").unlink()
    served = Pool(str(web.pool), web.pool)
    again = download(served, scanned, small(web.host), SMALL, context(home, MINI))[0]
    assert again.output == stage.output
    for left, right in zip(again.shards(), stage.shards(), strict=True):
        assert contents(left) == contents(right)
        assert contents(left).keys() == {"images.tar", "index.parquet", "limits.json"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def retrieved(
    web: Web, tiny_clip: Path, fetched: tuple[Home, Stage, Stage]
) -> tuple[Home, ImageSet]:
    home = fetched[0]
    return home, source_of("retrieved", retrieval(web, tiny_clip)).collect(context(home, MINI))


def retrieval(web: Web, tiny_clip: Path, **more: object) -> Json:
    return options_of(
        "retrieved", pool=str(web.pool), images__size=32, suffix=".png", shard_size=100, retries=0,
        allow_private=[web.host], filter__model=str(tiny_clip), **{"tau": -1, **more},
    )  # fmt: skip


def test_captions_stay_with_their_images(web: Web, retrieved: tuple[Home, ImageSet]) -> None:
    home, images = retrieved
    pairs = pl.concat(pl.read_parquet(file) for file in sorted(web.pool.glob("*.parquet")))
    texts = dict(pairs.select("URL", "TEXT").iter_rows())
    rows = images.index()
    assert rows.height == len(images) == rows["key"].n_unique() > 50
    for row in rows.iter_rows(named=True):
        assert row["caption"] == texts[row["url"]]
        assert MINI.query(row["class_name"]).any[0].lower() in row["caption"].lower()
        assert MINI.class_names[row["label"]] == row["class_name"]
        assert image_of(home, row).size == (row["width"], row["height"])
    assert set(rows["origin"]) == {"retrieved"}


def test_the_counts_add_up_and_dropped_images_are_listed(retrieved: tuple[Home, ImageSet]) -> None:
    images = retrieved[1]
    counts = images.manifest.stage_counts
    assert counts["rows"] == 600
    assert counts["matched"] - sum(counts["failed"].values()) == counts["fetched"]
    dropped = sum(counts["duplicates"][reason] for reason in REMOVED)
    assert counts["fetched"] - counts["below tau"] - dropped == counts["kept"] == len(images)
    names = {path.name for path in images.folder.iterdir()}
    assert {"scores.parquet", "filtered.png", "copies.parquet", "copies.png"} <= names
    scores = pl.read_parquet(images.folder / "scores.parquet")
    assert scores.height == counts["decodable"]
    assert scores.height - scores["passed"].sum() == counts["below tau"]
    removed = pl.read_parquet(images.folder / "copies.parquet")
    reasons = dict(removed.group_by("reason").len().iter_rows())
    assert reasons.items() <= counts["duplicates"].items()
    assert scores.filter("passed").height - removed.filter("removed").height == len(images)


def test_copies_of_test_images_are_removed(web: Web, retrieved: tuple[Home, ImageSet]) -> None:
    leaks = [row for row in read_truth(web.world) if row.kind == "leak"]
    matched = [row for row in leaks if row.domain == "aircraft" and row.status == "ok"]
    kept = {path_of(url) for url in retrieved[1].index()["url"]}
    # The pool's copies are brightened, noisy or cropped by a pixel (docs/retrieval.md).
    duplicates = retrieved[1].manifest.stage_counts["duplicates"]
    assert duplicates["copies of val or test images"] >= 1
    assert len(kept & {row.path for row in leaks}) <= max(1, len(matched) // 5)


def test_higher_thresholds(web: Web, tiny_clip: Path, retrieved: tuple[Home, ImageSet]) -> None:
    home, everything = retrieved
    scores = everything.index()["clip_score"]
    tau = float(scores.median())  # type: ignore[arg-type]
    chosen = source_of("retrieved", retrieval(web, tiny_clip, tau=tau)).collect(context(home, MINI))
    rows = chosen.index()
    assert 0 < rows.height < everything.index().height
    assert rows["clip_score"].min() > tau  # type: ignore[operator]
    # Nothing is scanned, fetched or scored again for another threshold.
    stages = Counter(path.name.partition("-")[0] for path in home.data.iterdir() if path.is_dir())
    made = ("scan", "download", "embed", "score")
    assert [stages[name] for name in made] == [1, 1, 1, 1]


def test_some_shards_may_be_made_by_another_worker(
    web: Web, tiny_clip: Path, home: Home, retrieved: tuple[Home, ImageSet]
) -> None:
    for made in ("scan-*", "download-*"):
        (folder,) = retrieved[0].data.glob(made)
        shutil.copytree(folder, home.data / folder.name)
    source = source_of("retrieved", retrieval(web, tiny_clip))
    with pytest.raises(UnfinishedError, match="embed-"):
        source.collect(context(home, MINI, selection=WorkSelection(shards=range(1))))
    images = source.collect(context(home, MINI, selection=WorkSelection(shards=range(1, 99))))
    assert images.manifest == retrieved[1].manifest
