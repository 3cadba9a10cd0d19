"""The sources: what is found, fetched, kept and dropped, and why."""

import io
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from adapt.models import ClipEmbedder, load_clip
from bench.errors import BenchError, RequestError
from bench.manifest import ImageSet, read_image
from bench.miniworld.pool import read_truth
from bench.paths import Home
from bench.plugins import source_of
from bench.preset import resolve
from bench.progress import Progress
from bench.shards import decode, encode
from bench.stage import Stage, UnfinishedError
from bench.tasks import find_task
from bench.types import Context, Json, Split, Task
from sources._captions import KINDS, caption_rows, captions
from sources._dedup import Hashes, _repeated, drop_duplicates, near
from sources._describe import perceptual_hash
from sources._download import DownloadOptions, download
from sources._pool import Pool
from sources._scan import candidates, scan
from sources.mixed import apportion
from tests.conftest import Bench, Web
from tests.tiny_clip import COLOURS, ColourTask, colour_task, square

QUIET = Progress(quiet=True)
MINI = find_task("mini-aircraft")


def context(home: Home, task: Task, n: int | None = None, seed: int = 0, **more: Any) -> Context:
    return Context(home, task, n, seed, embedder, QUIET, **more)


def embedder(name: str) -> ClipEmbedder:
    return ClipEmbedder(load_clip(Path(name)))


def flowers(*names: str, **queries: str) -> Task:
    return Task(
        name="flowers-of-the-test",
        version=1,
        class_names=names,
        templates=("a {}",),
        domain_texts=("a flower",),
        queries=queries,
    )


def write_pool(folder: Path, rows: Sequence[tuple[str, str, str | None]], files: int = 1) -> Pool:
    folder.mkdir(parents=True, exist_ok=True)
    table = pl.DataFrame(
        rows, schema={"URL": pl.String, "TEXT": pl.String, "NSFW": pl.String}, orient="row"
    )
    for part in range(files):
        table[part::files].write_parquet(folder / f"{part}.parquet")
    return Pool(str(folder), folder)


def found(pool: Pool, task: Task, home: Home) -> dict[str, str]:
    """Return URL to class name of what a scan finds."""
    rows = candidates(scan(pool, task, context(home, task)))
    assert rows["label"].to_list() == [task.class_names.index(name) for name in rows["class_name"]]
    return dict(rows.select("url", "class_name").iter_rows())


# ---------------------------------------------------------------- scan


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("A Rose in my garden", "rose"),
        ("ROSES!", "rose"),
        ("primrose", "rose"),
        ("marigold", "marigold"),
        ("an English Marigold", "english marigold"),
        ("english marigold next to a marigold and a rose", "english marigold"),
        ("a lily, and a rose", None),
        ("lily rose", None),
        ("a tulip", None),
        ("", None),
        ("rosé", None),
        ("ROS\u00c9 and r\u00f6se", None),
        ("sea holly", "alpine sea holly"),
        ("alpine sea holly", "alpine sea holly"),
    ],
)
def test_a_caption_goes_to_the_longest_name_it_contains(
    home: Home, tmp_path: Path, caption: str, name: str | None
) -> None:
    task = flowers(
        "rose", "lily", "marigold", "english marigold", "alpine sea holly",
        **{"alpine sea holly": "Sea Holly"},
    )  # fmt: skip
    pool = write_pool(tmp_path / "pool", [("http://x/1", caption, "UNLIKELY")])
    assert found(pool, task, home) == ({"http://x/1": name} if name else {})


def test_names_that_share_a_query_are_never_told_apart(home: Home, tmp_path: Path) -> None:
    task = flowers("rose", "tea rose", "lily", **{"tea rose": "Rose"})
    pool = write_pool(
        tmp_path / "pool", [("http://u1", "a rose", None), ("http://u2", "a lily", None)]
    )
    assert found(pool, task, home) == {"http://u2": "lily"}


def test_flagged_pairs_are_dropped_and_counted(home: Home, tmp_path: Path) -> None:
    flags = ["UNLIKELY", "UNSURE", "NSFW", None, "UNLIKELY"]
    rows = [(f"http://u{i}", "a rose", flag) for i, flag in enumerate(flags)]
    rows += [("http://u8", "a rose, a lily", "UNLIKELY"), ("http://u9", "a dog", "UNLIKELY")]
    task = flowers("rose", "lily")
    pool = write_pool(tmp_path / "pool", rows, files=2)
    stage = scan(pool, task, context(home, task))
    assert set(candidates(stage)["url"]) >= {"http://u0", "http://u4"}
    assert not set(candidates(stage)["url"]) & {"http://u1", "http://u2"}
    assert stage.info() == {
        "rows": 7,
        "matched": 6,
        "no web address": 0,
        "several classes, no longest": 1,
        "flagged NSFW or UNSURE": 2,
    }


def test_a_pair_without_a_flag_is_kept(home: Home, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [("http://u1", "a rose", None)])
    assert found(pool, flowers("rose", "lily"), home) == {"http://u1": "rose"}


def test_an_address_is_kept_once_even_across_files(home: Home, tmp_path: Path) -> None:
    rows = [("http://u1", f"rose {index}", "UNLIKELY") for index in range(5)]
    pool = write_pool(tmp_path / "pool", [*rows, ("http://u2", "rose", "UNLIKELY")], files=3)
    assert found(pool, flowers("rose", "lily"), home) == {"http://u1": "rose", "http://u2": "rose"}


def test_only_web_addresses_are_candidates(home: Home, tmp_path: Path) -> None:
    urls = ["http://a/1", "HTTPS://a/2", "file:///etc/passwd", "ftp://a/3", "a/4", "", None]
    columns = {"URL": urls, "TEXT": ["a rose"] * 7, "NSFW": [None] * 7}
    schema = dict.fromkeys(columns, pl.String)
    pl.DataFrame(columns, schema=schema).write_parquet(tmp_path / "0.parquet")
    task = flowers("rose", "lily")
    stage = scan(Pool("p", tmp_path), task, context(home, task))
    assert set(candidates(stage)["url"]) == set(urls[:2])
    assert (stage.info()["matched"], stage.info()["no web address"]) == (7, 5)


def test_a_pool_without_the_columns_is_a_clear_error(home: Home, tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    pl.DataFrame({"link": ["u"], "TEXT": ["rose"]}).write_parquet(tmp_path / "pool" / "0.parquet")
    task = flowers("rose", "lily")
    with pytest.raises(BenchError, match="need the columns URL, TEXT and NSFW"):
        scan(Pool("p", tmp_path / "pool"), task, context(home, task))


def test_a_broken_file_of_a_pool_is_a_clear_error(home: Home, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [("http://u1", "a rose", None)])
    path = tmp_path / "pool" / "0.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    task = flowers("rose", "lily")
    with pytest.raises(BenchError, match=r"cannot scan .*0\.parquet"):
        scan(pool, task, context(home, task))


def test_tasks_whose_classes_differ_in_order_do_not_share_labels(
    home: Home, tmp_path: Path
) -> None:
    pool = write_pool(tmp_path / "pool", [("http://u1", "a rose", None)])
    assert found(pool, flowers("rose", "lily"), home) == {"http://u1": "rose"}
    assert found(pool, flowers("lily", "rose"), home) == {"http://u1": "rose"}


def test_a_pool_that_names_no_class_is_a_request_error(home: Home, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [("http://u1", "a dog", None)])
    task = flowers("rose", "lily")
    options = DownloadOptions()
    with pytest.raises(RequestError, match=r"no caption of the pool .* names a class of task"):
        download(pool, scan(pool, task, context(home, task)), options, context(home, task))


def by_hand(caption: str, queries: dict[str, str]) -> str | None:
    """The rule in plain Python: ASCII case ignored, longest query wins, a tie is dropped."""
    ascii_lower = str.maketrans({chr(code): chr(code + 32) for code in range(65, 91)})
    text = caption.translate(ascii_lower)
    hits = {query for query in queries.values() if query.lower() in text}
    longest = [query for query in hits if len(query) == max(map(len, hits))]
    owners = [name for name, query in queries.items() if [query] == longest]
    return owners[0] if len(owners) == 1 else None


letters = st.text("abAB \u00e4\u0130", max_size=9)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    queries=st.lists(st.text("abA", min_size=1, max_size=3), min_size=1, max_size=6),
    texts=st.lists(letters, min_size=1, max_size=25),
)
def test_the_scan_equals_the_rule_written_out_by_hand(
    home: Home, tmp_path_factory: pytest.TempPathFactory, queries: list[str], texts: list[str]
) -> None:
    names = {f"class {index}": query for index, query in enumerate(queries)}
    task = flowers(*names, **names)
    rows = [(f"http://u{index}", text, "UNLIKELY") for index, text in enumerate(texts)]
    pool = write_pool(tmp_path_factory.mktemp("pool"), rows)
    lowered = {name: query.lower() for name, query in names.items()}
    expected = {f"http://u{index}": by_hand(text, lowered) for index, text in enumerate(texts)}
    assert found(pool, task, home) == {url: name for url, name in expected.items() if name}


# ---------------------------------------------------------------- download


SMALL = DownloadOptions(image_size=32, suffix=".png", shard_size=100, retries=0)


@pytest.fixture(scope="module")
def fetched(web: Web, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Stage, Stage]:
    home = Home(tmp_path_factory.mktemp("fetched"))
    pool = Pool(str(web.pool), web.pool)
    scanned = scan(pool, MINI, context(home, MINI))
    return home, scanned, download(pool, scanned, SMALL, context(home, MINI))


def index_of(stage: Stage) -> pl.DataFrame:
    return pl.concat(
        pl.read_parquet(shard / "index.parquet").with_columns(folder=pl.lit(str(shard)))
        for shard in stage.shards()
    )


def test_every_candidate_is_accounted_for(web: Web, fetched: tuple[Home, Stage, Stage]) -> None:
    _, scanned, stage = fetched
    matched, index = candidates(scanned), index_of(stage)
    assert index["key"].to_list() == matched["key"].to_list()
    assert len(stage.shards()) == -(-matched.height // 100) > 1
    truth = {row.path: row.status for row in read_truth(web.world)}
    statuses = [truth["images/" + url.rpartition("/")[2]] for url in matched["url"]]
    whole = [offset is not None for offset in index["offset"]]
    assert [status == "ok" for status in statuses] == whole
    assert 0 < statuses.count("ok") < len(statuses)
    assert stage.info()["fetched"] == statuses.count("ok")


def test_dead_links_and_non_images_are_counted_by_reason(
    web: Web, fetched: tuple[Home, Stage, Stage]
) -> None:
    _, scanned, stage = fetched
    truth = {row.path: row.status for row in read_truth(web.world)}
    expected = Counter(truth["images/" + u.rpartition("/")[2]] for u in candidates(scanned)["url"])
    failed = stage.info()["failed"]
    for code in ("404", "403", "500"):
        assert sum(n for reason, n in failed.items() if code in reason) == expected[code]
    unreadable = expected["html"] + expected["truncated"] + expected["empty"]
    assert sum(n for reason, n in failed.items() if "HTTP" not in reason) == unreadable
    assert sum(failed.values()) == sum(expected.values()) - expected["ok"]


def test_a_fetched_image_is_the_one_its_address_shows(
    web: Web, fetched: tuple[Home, Stage, Stage]
) -> None:
    from bench.miniworld.pool import image_of

    _, scanned, stage = fetched
    truth = {row.path: row for row in read_truth(web.world)}
    rows = candidates(scanned).join(index_of(stage).drop_nulls("offset"), on="key")
    assert rows.height > 50
    for row in rows.sample(25, seed=0).iter_rows(named=True):
        with (Path(row["folder"]) / "images.tar").open("rb") as stream:
            stream.seek(row["offset"])
            image = decode(stream.read(row["size"]))
        shown = image_of(truth["images/" + row["url"].rpartition("/")[2]])
        assert np.array_equal(np.asarray(image), shown)


@pytest.mark.slow
def test_a_shard_that_is_fetched_again_has_the_same_bytes(
    web: Web, fetched: tuple[Home, Stage, Stage], home: Home
) -> None:
    before, scanned, stage = fetched
    shutil.copytree(before.root, home.root)
    lost = home.data / stage.key / "00001"
    shutil.rmtree(lost)
    (home.data / stage.key / "done.json").unlink()
    pool = Pool(str(web.pool), web.pool)
    again = download(pool, scanned, SMALL, context(home, MINI))
    assert again.output == stage.output
    for left, right in zip(again.shards(), stage.shards(), strict=True):
        assert sorted(path.name for path in left.iterdir()) == ["images.tar", "index.parquet"]
        for name in ("images.tar", "index.parquet"):
            assert (left / name).read_bytes() == (right / name).read_bytes()


class Faulty(BaseHTTPRequestHandler):
    """A server at its worst: what it answers is in the address."""

    def do_GET(self) -> None:
        if "gone" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        if "short" in self.path:
            self.send_header("Content-Length", "1000000")
        if "huge" in self.path:
            self.send_header("Content-Length", "1000000000000")
        self.end_headers()
        with suppress(OSError):
            bomb = "bomb" in self.path
            self.wfile.write(encode(Image.new("1", (8001, 8000)), ".png") if bomb else png(1))
            while "endless" in self.path:
                self.wfile.write(bytes(2**20))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def faulty(port: int = 0) -> Iterator[int]:
    """Run the server; yield its port."""
    with ThreadingHTTPServer(("127.0.0.1", port), Faulty) as server:
        Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def fetch(home: Home, folder: Path, port: int, *paths: str) -> Stage:
    urls = [f"http://127.0.0.1:{port}/{path}" for path in paths]
    pool = write_pool(folder, [(url, "a rose", "UNLIKELY") for url in urls])
    task = flowers("rose", "lily")
    return download(pool, scan(pool, task, context(home, task)), SMALL, context(home, task))


@pytest.mark.slow
def test_a_response_is_read_up_to_a_limit_and_only_whole(home: Home, tmp_path: Path) -> None:
    with faulty() as port:
        info = fetch(home, tmp_path, port, "fine", "endless", "huge", "short", "bomb").info()
    size = len(png(1))
    assert info["fetched"] == 1
    assert info["failed"] == {
        "more than 67108864 bytes": 2,
        "image area too large": 1,
        f"IncompleteRead({size} bytes read, {1000000 - size} more expected)": 1,
    }


@pytest.mark.slow
def test_an_outage_is_not_a_result_and_the_next_attempt_continues(
    home: Home, tmp_path: Path
) -> None:
    with faulty() as port:
        pass
    with pytest.raises(BenchError, match=r"no image of shard 0 could be .* refused.*network"):
        fetch(home, tmp_path, port, "a", "b")
    with faulty(port):
        assert fetch(home, tmp_path, port, "a", "b").info()["fetched"] == 2


@pytest.mark.slow
def test_a_pool_whose_links_are_all_dead_leaves_nothing_and_says_so(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    task, pool = flowers("MD-11", "rose", "lily"), tmp_path / "pool"
    options = {
        "pool": str(pool), "filter_model": str(tiny_clip), "image_size": 32,
        "suffix": ".png", "retries": 0,
    }  # fmt: skip
    dead = ColourTask(**{**as_values(colour_task()), "class_names": task.class_names})
    with faulty() as port:
        link = f"http://127.0.0.1:{port}/gone/"
        write_pool(pool, [(f"{link}{i}", "an airliner MD-11", "UNLIKELY") for i in range(3)])
        images = source_of("retrieved", options).collect(context(home, dead))
    assert len(images) == 0
    assert images.manifest.yields["matched"] == 3
    assert images.manifest.yields["fetched"] == 0
    assert images.manifest.yields["failed"] == {"HTTP Error 404: Not Found": 3}
    with pytest.raises(RequestError, match="has 0"):
        images.select(1, 0, "random")


def as_values(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in task.__struct_fields__}


# ---------------------------------------------------------------- retrieved


@pytest.fixture(scope="module")
def retrieved(
    web: Web, tiny_clip: Path, fetched: tuple[Home, Stage, Stage]
) -> tuple[Home, ImageSet]:
    home = fetched[0]
    return home, source_of("retrieved", retrieval(web, tiny_clip)).collect(context(home, MINI))


def retrieval(web: Web, tiny_clip: Path, **more: object) -> Json:
    small = {"image_size": 32, "suffix": ".png", "shard_size": 100, "retries": 0}
    return {"pool": str(web.pool), "filter_model": str(tiny_clip), "tau": -1, **small, **more}


def test_captions_and_labels_stay_with_their_images(
    web: Web, retrieved: tuple[Home, ImageSet]
) -> None:
    home, images = retrieved
    pool = pl.concat(pl.read_parquet(file) for file in sorted(web.pool.glob("*.parquet")))
    texts = dict(pool.select("URL", "TEXT").iter_rows())
    rows = images.index()
    assert rows.height == len(images) > 50
    for row in rows.iter_rows(named=True):
        assert row["caption"] == texts[row["url"]]
        assert MINI.query(row["class_name"]).lower() in row["caption"].lower()
        assert MINI.class_names[row["label"]] == row["class_name"]
        image = read_image(home.data, row["shard"], row["offset"], row["size"], row["sha256"])
        assert image.size == (row["width"], row["height"])
    assert set(rows["origin"]) == {"retrieved"}
    assert rows["key"].n_unique() == rows.height


def test_the_yields_add_up(retrieved: tuple[Home, ImageSet]) -> None:
    yields = retrieved[1].manifest.yields
    assert yields["rows"] == 600
    assert yields["matched"] - sum(yields["failed"].values()) == yields["fetched"]
    duplicates = yields["duplicates"]
    dropped = sum(count for count in duplicates.values() if isinstance(count, int))
    assert yields["fetched"] - yields["below tau"] - dropped == yields["kept"]
    assert len(retrieved[1]) == yields["kept"]


def test_copies_of_test_images_do_not_get_through(
    web: Web, retrieved: tuple[Home, ImageSet]
) -> None:
    leaks = {row.path for row in read_truth(web.world) if row.kind == "leak"}
    kept = {"images/" + url.rpartition("/")[2] for url in retrieved[1].index()["url"]}
    removed = retrieved[1].manifest.yields["duplicates"]["copies of val or test images"]
    matched = [
        row
        for row in read_truth(web.world)
        if row.kind == "leak" and row.domain == "aircraft" and row.status == "ok"
    ]
    # Nine in ten of the brightened, noisy and cropped copies are recognised (MAX_DISTANCE).
    assert removed >= 1
    assert len(kept & leaks) <= max(1, len(matched) // 5)


def test_a_higher_threshold_keeps_a_part_of_the_same_images(
    web: Web, tiny_clip: Path, retrieved: tuple[Home, ImageSet]
) -> None:
    home, everything = retrieved
    scores = everything.index()["clip_score"]
    tau = float(scores.median())  # type: ignore[arg-type]
    chosen = source_of("retrieved", retrieval(web, tiny_clip, tau=tau)).collect(context(home, MINI))
    rows = chosen.index()
    assert 0 < rows.height < everything.index().height
    assert rows["clip_score"].min() > tau  # type: ignore[operator]
    # Nothing is scanned, fetched or scored again for another threshold.
    stages = Counter(path.name.partition("-")[0] for path in home.data.iterdir() if path.is_dir())
    assert (stages["scan"], stages["download"], stages["describe"]) == (1, 1, 1)


def test_some_shards_may_be_made_by_another_worker(
    web: Web, tiny_clip: Path, home: Home, retrieved: tuple[Home, ImageSet]
) -> None:
    for made in ("scan-*", "download-*"):
        (folder,) = retrieved[0].data.glob(made)
        shutil.copytree(folder, home.data / folder.name)
    source = source_of("retrieved", retrieval(web, tiny_clip))
    with pytest.raises(UnfinishedError, match="describe-"):
        source.collect(context(home, MINI, shards=range(1)))
    images = source.collect(context(home, MINI, shards=range(1, 99)))
    assert images.manifest == retrieved[1].manifest


# ---------------------------------------------------------------- de-duplication


hash_lists = st.lists(st.lists(st.integers(0, 7), min_size=4, max_size=4), max_size=25)


def as_hashes(rows: list[list[int]]) -> Hashes:
    return np.array(rows, np.uint64).reshape(-1, 4)


def bits(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(int(a ^ b).bit_count() for a, b in zip(left, right, strict=True))


@settings(max_examples=80)
@given(hash_lists, hash_lists, st.integers(0, 5))
def test_near_copies_equal_those_found_pair_by_pair(
    hashes: list[list[int]], references: list[list[int]], distance: int
) -> None:
    assert near(as_hashes(hashes), as_hashes(references), distance).tolist() == [
        any(bits(one, other) <= distance for other in references) for one in hashes
    ]
    assert _repeated(as_hashes(hashes), distance).tolist() == [
        any(bits(one, other) <= distance for other in hashes[:index])
        for index, one in enumerate(hashes)
    ]


def test_comparing_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from sources import _dedup

    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**3, (50, 4)).astype(np.uint64)
    whole = _repeated(hashes, 2).tolist(), near(hashes, hashes[::7] ^ np.uint64(1), 2).tolist()
    monkeypatch.setattr(_dedup, "_CHUNK", 7)
    assert whole == (
        _repeated(hashes, 2).tolist(),
        near(hashes, hashes[::7] ^ np.uint64(1), 2).tolist(),
    )


class Textured(ColourTask, frozen=True, kw_only=True):
    """Images with structure, which perceptual hashes tell apart."""

    def open_split(self, name: str, home: Home) -> Split:
        start = {"train": 0, "val": 1000, "test": 2000}[name]
        images = [texture(start + index) for index in range(self.split_sizes[name])]
        keys = [f"{name}-{index}" for index in range(len(images))]
        return Split(name, keys, np.arange(len(images)) % 3, images.__getitem__)


def texture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)


def described(images: Sequence[Image.Image], keys: Sequence[str]) -> pl.DataFrame:
    words = [perceptual_hash(image) for image in images]
    columns: dict[str, Any] = {f"hash_{i}": [word[i] for word in words] for i in range(4)}
    columns["sha256"] = [str(hash(encode(image, ".png"))) for image in images]
    return pl.DataFrame({"key": list(keys), **columns})


def test_copies_of_benchmark_images_and_repeats_are_removed(home: Home) -> None:
    task = Textured(**as_values(colour_task()))
    images = {
        "a": texture(1),
        "b": texture(2),
        "c-same-as-a": texture(1),
        "d-near-b": shifted(texture(2)),
        "e-val": texture(1002),
        "f-test": shifted(texture(2003)),
        "g-train": texture(3),
    }
    rows = described(list(images.values()), list(images))
    kept, why = drop_duplicates(rows.sample(7, shuffle=True, seed=3), context(home, task))
    assert kept["key"].to_list() == ["a", "b", "g-train"]
    assert why["copies of val or test images"] == 2
    assert why["equal bytes"] == 1
    assert why["near copies"] == 1


def shifted(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).integers(-5, 6, (32, 32, 3))
    return Image.fromarray((np.asarray(image).astype(int) + noise).clip(0, 255).astype("uint8"))


def test_another_task_of_the_same_name_has_its_own_references(home: Home, tmp_path: Path) -> None:
    for folder, start in (("one", 0), ("two", 50)):
        for split in ("train", "val", "test"):
            for label, name in enumerate("ab"):
                target = tmp_path / folder / "birds" / split / name
                target.mkdir(parents=True)
                texture(start + label + 10 * len(split)).save(target / "0.png")
    tasks = [find_task(str(tmp_path / folder / "birds")) for folder in ("one", "two")]
    assert tasks[0].name == tasks[1].name
    assert tasks[0].pin != tasks[1].pin
    leaked = [
        drop_duplicates(
            described([task.split("val", home).read(0)], ["x"]), context(home, tasks[1])
        )[0].is_empty()
        for task in tasks
    ]
    assert leaked == [False, True]


# ---------------------------------------------------------------- mixed


shares = st.lists(st.integers(1, 100), min_size=1, max_size=5).map(
    lambda parts: {f"p{i}": Fraction(part, sum(parts)) for i, part in enumerate(parts)}
)


@given(st.integers(0, 400), shares)
def test_a_mixture_has_n_images_in_proportion_and_grows_by_adding(
    n: int, parts: dict[str, Fraction]
) -> None:
    counts, more = apportion(n, parts), apportion(n + 1, parts)
    assert sum(counts.values()) == n
    assert all(abs(counts[name] - n * share) <= len(parts) / 2 for name, share in parts.items())
    assert all(counts[name] <= more[name] for name in parts)


@given(st.integers(0, 200), shares)
def test_apportioning_equals_giving_images_out_one_by_one(
    n: int, parts: dict[str, Fraction]
) -> None:
    counts = dict.fromkeys(parts, 0)
    for _ in range(n):
        counts[min(parts, key=lambda name: (counts[name] + Fraction(1, 2)) / parts[name])] += 1
    assert apportion(n, parts) == counts


def test_large_mixtures_are_apportioned_at_once() -> None:
    parts = {"a": Fraction(3, 10), "b": Fraction(7, 10)}
    assert apportion(10**9, parts) == {"a": 3 * 10**8, "b": 7 * 10**8}


@pytest.fixture
def mixture(preset: Path, colours: Path, tmp_path: Path, home: Home) -> Any:
    # Seven images of one source, twelve of the other; all differ from the task's.
    own = tmp_path / "own"
    for label, name in enumerate(COLOURS):
        (own / name).mkdir(parents=True)
        for index in range(4):
            texture(100 + 10 * label + index).save(own / name / f"{index}.png")

    def collect(n: int | None, **ratio: float) -> ImageSet:
        parts = [f"source.parts.{name}={share}" for name, share in ratio.items()]
        spec = resolve(
            str(preset), task=str(colours), source="mixed", n=n,
            settings=[*parts, f"source.options.folder.path={own}"],
        )  # fmt: skip
        return source_of("mixed", spec.options).collect(context(home, find_task(str(colours)), n))

    return collect


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_a_mixture_keeps_its_proportions_and_its_number(mixture: Any, n: int) -> None:
    rows = mixture(n, real=0.7, folder=0.3).index()
    counts = Counter(rows["origin"])
    assert rows.height == n
    assert counts["real"] == apportion(n, {"r": Fraction(7, 10), "f": Fraction(3, 10)})["r"]


def test_all_of_a_mixture_is_what_the_scarcest_part_allows(mixture: Any) -> None:
    # 24 real images, 12 of the folder.
    assert Counter(mixture(None, real=0.5, folder=0.5).index()["origin"]) == {
        "real": 12,
        "folder": 12,
    }
    assert Counter(mixture(None, real=0.9, folder=0.1).index()["origin"])["real"] == 24


def test_smaller_mixtures_are_parts_of_larger_ones(mixture: Any) -> None:
    few, many = (set(mixture(n, real=0.5, folder=0.5).index()["key"]) for n in (7, 12))
    assert few < many


@pytest.mark.parametrize("n", [None, 4])
def test_an_empty_part_is_named(
    home: Home, tmp_path: Path, tiny_clip: Path, colours: Path, n: int | None
) -> None:
    task = find_task(str(colours))
    for name in COLOURS:
        shutil.copytree(colours / "test" / name, tmp_path / "leaks" / name)
    folder = {"path": str(tmp_path / "leaks"), "filter_model": str(tiny_clip)}
    options = {"parts": {"real": 1, "folder": 1}, "options": {"real": {}, "folder": folder}}
    with pytest.raises(RequestError, match=r"'folder' (has 0|of the mixture has no images)"):
        source_of("mixed", options).collect(context(home, task, n))


def test_a_part_with_too_few_images_says_so(mixture: Any) -> None:
    with pytest.raises(RequestError, match=r"'folder' has 12"):
        mixture(40, real=0.5, folder=0.5)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ("{}", "needs parts"),
        ("{real: 0}", "above zero"),
        ("{real: -1, folder: 2}", "above zero"),
        ("{none: 1}", "cannot be part"),
        ("{mixed: 1}", "part"),
        ("{reel: 1}", "did you mean real"),
        ("3", "parts"),
    ],
)
def test_a_wrong_mixture_is_a_request_error(
    bench: Bench, preset: Path, parts: str, why: str
) -> None:
    words = ["run", "--preset", str(preset), "--source", "mixed", "--task", "aircraft"]
    words += ["--set", f"source.parts={parts}", "--set", "source.options.folder.path=/"]
    done = bench(*words)
    assert done.code == 2
    assert why in done.complaint


# ---------------------------------------------------------------- folder and real


def own_images(root: Path, names: Sequence[str] = tuple(COLOURS), count: int = 3) -> Path:
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(count):
            texture(500 + 10 * label + index).save(root / name / f"{index}.png")
    return root


def from_folder(home: Home, root: Path, tiny_clip: Path, task: Task, **more: object) -> ImageSet:
    options = {
        "path": str(root),
        "filter_model": str(tiny_clip),
        "image_size": 32,
        "suffix": ".png",
    }
    return source_of("folder", {**options, **more}).collect(context(home, task))


def test_a_tree_of_class_folders_is_read_by_name(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own", ["green", "blue"])
    images = from_folder(home, root, tiny_clip, colour_task())
    assert images.manifest.counts == {"red": 0, "green": 3, "blue": 3}
    for row in images.index().iter_rows(named=True):
        assert row["class_name"] == tuple(COLOURS)[row["label"]]


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def png(seed: int) -> bytes:
    return encode(texture(seed), ".png")


def test_webdataset_tars_are_read_with_either_kind_of_label(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    write_tar(tmp_path / "0.tar", {"a.png": png(1), "a.cls": b"2", "b.cls": b"0", "b.png": png(2)})
    write_tar(tmp_path / "1.tar", {"a.json": b'{"class_name": "green"}', "a.png": png(3)})
    images = from_folder(home, tmp_path, tiny_clip, colour_task())
    assert images.manifest.counts == {"red": 1, "green": 1, "blue": 1}
    pixels = {
        row["class_name"]: read_image(
            home.data, row["shard"], row["offset"], row["size"], row["sha256"]
        )
        for row in images.index().iter_rows(named=True)
    }
    assert np.array_equal(np.asarray(pixels["blue"]), np.asarray(texture(1)))


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a.png": b""}, "the image a has no label"),
        ({"a.png": b"", "a.cls": b"3"}, "there is no class 3; classes count from 0 to 2"),
        ({"a.png": b"", "a.cls": b"-1"}, "there is no class -1"),
        ({"a.png": b"", "a.cls": b"red"}, "is not a label"),
        ({"a.png": b"", "a.json": b"{"}, "is not a label"),
        ({"a.png": b"", "a.json": b'{"class_name": "gren"}'}, "did you mean green"),
        ({"a.png": b"", "a.json": b'{"label": 1}'}, "has no label"),
    ],
)
def test_a_wrong_label_in_a_tar_is_named(
    home: Home, tmp_path: Path, members: dict[str, bytes], why: str
) -> None:
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(RequestError) as caught:
        from_folder(home, tmp_path, Path("unused"), colour_task())
    assert why in str(caught.value)


def test_a_truncated_tar_of_ones_own_is_never_to_be_deleted(home: Home, tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"a.cls": b"0", "a.png": png(1)})
    (tmp_path / "0.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:2000])
    with pytest.raises(BenchError, match=r"0\.tar is corrupt .*put a whole copy") as caught:
        from_folder(home, tmp_path, Path("unused"), colour_task())
    assert "delete" not in str(caught.value)


def test_an_unknown_class_folder_gets_a_near_miss(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    root = own_images(tmp_path / "own", ["red", "gren"])
    done = folder_run(bench, preset, colours, root)
    assert done.code == 2
    assert "unknown class of task colours 'gren'; did you mean green?" in done.err.splitlines()[-1]


def folder_run(bench: Bench, preset: Path, colours: Path, root: Path) -> Any:
    return bench("run", "--preset", str(preset), "--source", "folder", "--task", str(colours),
                 "--set", f"source.path={root}", "--json")  # fmt: skip


@pytest.mark.parametrize("empty", ["class", "everything"])
def test_an_empty_class_folder_is_a_wrong_request(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, empty: str
) -> None:
    root = tmp_path / "own"
    root.mkdir()
    if empty == "class":
        own_images(root, ["red"])
        (root / "green").mkdir()
    done = folder_run(bench, preset, colours, root)
    assert done.code == 2
    why = "class folder" if empty == "class" else "holds neither class folders nor tars"
    assert why in done.err.splitlines()[-1]


def test_unreadable_images_are_skipped_and_counted(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own")
    (root / "red" / "broken.png").write_bytes(b"no image")
    (root / "red" / "cut.png").write_bytes(png(900)[:200])
    (root / "red" / "nowhere.png").symlink_to(root / "gone.png")
    (root / "red" / "folder.png").mkdir()
    (root / "red" / "notes.txt").write_text("not an image, and not said to be one")
    images = from_folder(home, root, tiny_clip, colour_task())
    yields = images.manifest.yields
    assert (yields["matched"], yields["fetched"], yields["unreadable"]) == (11, 9, 2)
    assert len(images) == yields["kept"] == 9


def test_other_images_in_the_same_folder_are_another_set(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own")
    first = from_folder(home, root, tiny_clip, colour_task())
    texture(999).save(root / "red" / "0.png")
    assert from_folder(home, root, tiny_clip, colour_task()).manifest != first.manifest


def test_large_images_are_reduced_and_none_is_enlarged(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    for name, size in (("red", (100, 50)), ("green", (20, 10)), ("blue", (1, 400))):
        (tmp_path / "own" / name).mkdir(parents=True)
        texture(len(name)).resize(size).save(tmp_path / "own" / name / "0.png")
    rows = from_folder(home, tmp_path / "own", tiny_clip, colour_task()).index().sort("label")
    assert rows.select("width", "height").rows() == [(32, 16), (20, 10), (1, 32)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exact_copies_of_test_images_are_dropped_however_they_are_kept(
    home: Home, tmp_path: Path, tiny_clip: Path, suffix: str
) -> None:
    for split, start in (("train", 0), ("val", 10), ("test", 20)):
        for label, name in enumerate("ab"):
            folder = tmp_path / "task" / split / name
            folder.mkdir(parents=True)
            photograph(start + label).save(folder / "0.jpg", quality=90)
    task = find_task(str(tmp_path / "task"))
    for label, name in enumerate("ab"):
        (tmp_path / "own" / name).mkdir(parents=True)
        photograph(30 + label).save(tmp_path / "own" / name / "new.png")
        for split in ("val", "test"):
            # The same pixels in another format.
            copied = task.split(split, home).read(label)
            copied.save(tmp_path / "own" / name / f"{split}.png")
    images = from_folder(home, tmp_path / "own", tiny_clip, task, image_size=40, suffix=suffix)
    assert images.manifest.counts == {"a": 1, "b": 1}
    assert images.manifest.yields["duplicates"]["copies of val or test images"] == 4


def photograph(seed: int) -> Image.Image:
    """An image larger than it is kept, with fine structure."""
    fine = np.random.default_rng(seed).integers(-20, 21, (90, 120, 3))
    shown = np.asarray(texture(seed).resize((120, 90))).astype(int) + fine
    return Image.fromarray(shown.clip(0, 255).astype("uint8"))


def test_distinct_small_images_all_stay(home: Home, tmp_path: Path, tiny_clip: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = ("own", "task/train", "task/val", "task/test")[index % 4]
        folder = tmp_path / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"{index}.png")
    task = find_task(str(tmp_path / "task"))
    images = from_folder(home, tmp_path / "own", tiny_clip, task)
    assert len(images) == images.manifest.yields["fetched"] == 450


def test_real_images_are_the_training_split(home: Home) -> None:
    images = source_of("real", {"image_size": 32, "suffix": ".png"}).collect(context(home, MINI))
    split = MINI.split("train", home)
    assert len(images) == len(split)
    shown = Counter((int(label), split.read(i).tobytes()) for i, label in enumerate(split.labels))
    kept = Counter(
        (
            row["label"],
            read_image(
                home.data, row["shard"], row["offset"], row["size"], row["sha256"]
            ).tobytes(),
        )
        for row in images.index().iter_rows(named=True)
    )
    assert kept == shown


def test_real_images_may_have_long_and_strange_names(home: Home, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / "t" / split / name / "sub").mkdir(parents=True)
            for file in ("x" * 200, "sub/é 漢.v2", "sub-é 漢.v2"):
                square(1, len(file)).save(tmp_path / "t" / split / name / f"{file}.png")
    task = find_task(str(tmp_path / "t"))
    images = source_of("real", {"suffix": ".png"}).collect(context(home, task))
    assert images.manifest.counts == {"a": 3, "b": 3}
    assert images.index()["key"].n_unique() == 6


# ---------------------------------------------------------------- synthetic


def written(home: Home, task: Task = MINI, block: int = 0, size: int = 40, seed: int = 0) -> Any:
    return caption_rows(captions(block, size, seed, context(home, task)))


def test_a_caption_depends_on_its_key_and_seed_alone(home: Home) -> None:
    few, many = written(home, size=10), written(home, size=40)
    assert many[:10].equals(few)
    assert not written(home, size=10, seed=1)["caption"].equals(few["caption"])
    assert set(written(home, block=1)["key"]).isdisjoint(many["key"])
    assert not written(home, block=1, size=10)["caption"].equals(few["caption"])


def test_captions_are_the_same_in_another_home(home: Home, tmp_path: Path) -> None:
    assert written(home).equals(written(Home(tmp_path / "other")))


def test_captions_name_their_class_and_keep_the_shares_of_their_kinds(home: Home) -> None:
    rows = written(home, size=4000)
    for name, label, caption in rows.select("class_name", "label", "caption").iter_rows():
        assert name in caption
        assert MINI.class_names[label] == name
    for kind, share in KINDS.items():
        # Four standard deviations of a binomial with 4000 draws.
        assert abs((rows["kind"] == kind).mean() - share) < 4 * (share * (1 - share) / 4000) ** 0.5
    per_class = rows.group_by("label").len()["len"]
    assert per_class.min() > 400
    assert rows["seed"].n_unique() == 4000


def generated(home: Home, tiny_clip: Path, **more: object) -> ImageSet:
    options: Json = {
        "generator": "stable-diffusion", "filter_model": str(tiny_clip), "steps": 2, "height": 32,
        "image_size": 32, "suffix": ".png", "block_size": 8, "shard_size": 8, "batch_size": 8,
    }  # fmt: skip
    return source_of("synthetic", {**options, **more}).collect(context(home, MINI, 6))


def pixels_of(home: Home, images: ImageSet) -> dict[str, Any]:
    return {
        row["key"]: np.asarray(
            read_image(home.data, row["shard"], row["offset"], row["size"], row["sha256"])
        ).astype(int)
        for row in images.index().iter_rows(named=True)
    }


def test_an_image_depends_on_its_seed_and_not_on_its_batch(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    whole = pixels_of(home, generated(home, tiny_clip))
    other = Home(tmp_path / "other")
    parts = pixels_of(other, generated(other, tiny_clip, batch_size=3, shard_size=5))
    assert whole.keys() == parts.keys()
    # Batches of another size round otherwise, by one grey level at most.
    assert max(abs(whole[key] - parts[key]).max() for key in whole) <= 1
    keys = sorted(whole)
    assert abs(whole[keys[0]] - whole[keys[1]]).mean() > 1


def test_more_generated_images_change_none(home: Home, tiny_clip: Path) -> None:
    few = generated(home, tiny_clip).index()
    many = generated(home, tiny_clip, size=10).index()
    assert many.height >= 10 > few.height
    assert set(few["sha256"]) <= set(many["sha256"])


def test_a_generator_has_no_end(home: Home, tiny_clip: Path) -> None:
    options = {"generator": str(tiny_clip), "filter_model": str(tiny_clip)}
    with pytest.raises(RequestError, match="--n all means nothing"):
        source_of("synthetic", options).collect(context(home, MINI))


def test_a_folder_that_holds_no_pipeline_is_a_wrong_request(home: Home, tiny_clip: Path) -> None:
    with pytest.raises(RequestError, match=r"generator .*tiny-clip does not load: .*model_index"):
        generated(home, tiny_clip, generator=str(tiny_clip))


def test_weights_that_are_cut_short_are_a_wrong_request(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    shutil.copytree(home.find_weights("stable-diffusion"), tmp_path / "cut")
    path = next((tmp_path / "cut" / "text_encoder").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RequestError, match=r"generator .*cut does not load: "):
        generated(home, tiny_clip, generator=str(tmp_path / "cut"))


def test_a_height_that_the_generator_cannot_draw_is_named(home: Home, tiny_clip: Path) -> None:
    with pytest.raises(RequestError, match="36 pixels high; give a height that 8 divides"):
        generated(home, tiny_clip, height=36)


# ---------------------------------------------------------------- options


NEEDED = {
    "real": {},
    "folder": {"path": "p", "filter_model": "m"},
    "retrieved": {"pool": "p", "filter_model": "m"},
    "synthetic": {"generator": "g", "filter_model": "m"},
}


@pytest.mark.parametrize(
    ("source", "option", "values"),
    [
        *((name, "image_size", (0, -1)) for name in NEEDED),
        *((name, "suffix", ("png", ".webp")) for name in NEEDED),
        *(("retrieved", name, (0,)) for name in ("shard_size", "threads", "timeout_s")),
        *(("synthetic", name, (0,)) for name in ("shard_size", "block_size", "batch_size")),
        *(("synthetic", name, (0, -8)) for name in ("size", "steps", "height")),
        ("retrieved", "retries", (-1,)),
        ("retrieved", "quality", (0, 101)),
        ("retrieved", "tau", (-1.1, 1.1, float("nan"))),
        ("synthetic", "guidance", (-0.1, float("nan"))),
        ("synthetic", "dtype", ("fp8",)),
        ("folder", "max_distance", (-1, 257)),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(
    source: str, option: str, values: Sequence[object]
) -> None:
    source_of(source, NEEDED[source])
    for value in values:
        with pytest.raises(RequestError, match=rf"the source {source}: {option}: "):
            source_of(source, {**NEEDED[source], option: value})


def test_showing_a_source_tells_what_is_required_and_what_is_the_default(bench: Bench) -> None:
    lines = bench("show", "mixed").out.splitlines()
    assert "  parts = required" in lines
    assert "  options = {}" in lines
    assert "  tau = 0.2" in bench("show", "retrieved").out.splitlines()


def test_no_images_are_an_empty_set(home: Home) -> None:
    images = source_of("none", {}).collect(context(home, MINI, 0))
    assert len(images) == images.index().height == 0
