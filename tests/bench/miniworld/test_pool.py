"""The miniature pool: its bytes, its composition, and the server that shows it."""

import http.client
import io
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.miniworld import captions, pool
from bench.miniworld.render import CLASSES, DISTRACTORS
from bench.miniworld.server import MiniWeb
from tests.support.command_line import until

SIZE = 2_000
LAION_COLUMNS = ["SAMPLE_ID", "URL", "TEXT", "HEIGHT", "WIDTH", "LICENSE", "NSFW", "similarity"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("world")
    pool.build_pool(built, size=SIZE, seed=3)
    return built


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[pool.TruthRow]:
    return pool.read_truth(folder)


@pytest.fixture(scope="module")
def texts(folder: Path) -> list[str]:
    return pl.read_parquet(folder / "pool" / "part-*.parquet")["TEXT"].to_list()


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[MiniWeb]:
    with MiniWeb(folder) as running:
        yield running


def fetch(host: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    status, body = response.status, response.read()
    connection.close()
    return status, body


def fetch_row(web: MiniWeb, rows: list[pool.TruthRow], status: str) -> tuple[int, bytes]:
    return fetch(web.host, f"/{next(row.path for row in rows if row.status == status)}")


def test_equal_seeds_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    pool.build_pool(tmp_path, size=SIZE, seed=3)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert [str(file) for file in files] == [
        *(f"pool/part-{part:05d}.parquet" for part in range(4)),
        "truth.parquet",
    ]
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / file).read_bytes()
    pool.build_pool(tmp_path / "other", size=SIZE, seed=4)
    assert pool.read_truth(tmp_path / "other") != pool.read_truth(folder)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda folder: pool.build_pool(folder, size=10), "100 or more"),
        (lambda _: pool.split_arrays("ships", "test"), "aircraft, cars, flowers"),
        (lambda _: pool.split_arrays("cars", "dev"), "train, val, test, oracle"),
        (lambda _: captions.query("aircraft", "Concorde"), "Spitfire"),
        (pool.training_pairs, "build_pool"),
        (lambda folder: MiniWeb(folder).__enter__(), "build_pool"),
    ],
)
def test_what_is_wrong_is_answered_with_the_remedy(
    tmp_path: Path, act: Callable[[Path], object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        act(tmp_path)


def test_the_public_table_is_laion_and_holds_no_truth(
    folder: Path, rows: list[pool.TruthRow]
) -> None:
    table = pl.read_parquet(folder / "pool" / "part-*.parquet")
    assert table.columns == LAION_COLUMNS
    assert table["SAMPLE_ID"].to_list() == [row.sample_id for row in rows]
    assert table["URL"].n_unique() == SIZE
    assert not list((folder / "pool").glob("*truth*"))


def test_composition(rows: list[pool.TruthRow]) -> None:
    kinds = Counter(row.kind for row in rows)
    statuses = Counter(row.status for row in rows)
    for kind, share in pool.KIND_SHARES.items():
        assert kinds[kind] == pytest.approx(share * SIZE, abs=1)
    for status, share in pool.STATUS_SHARES.items():
        assert statuses[status] == pytest.approx(share * SIZE, abs=len(statuses))


def test_classes_are_long_tailed(rows: list[pool.TruthRow]) -> None:
    counts = Counter((row.domain, row.name) for row in rows if row.kind == "true")
    for domain, names in CLASSES.items():
        per_class = [counts[domain, name] for name in names]
        assert min(per_class) > 0
        assert max(per_class) > 2 * min(per_class)


def test_a_wrong_label_is_wrong_and_mostly_within_the_domain(rows: list[pool.TruthRow]) -> None:
    wrong = [row for row in rows if row.kind == "wrong_label"]
    assert all((row.domain, row.name) != (row.named_domain, row.named_class) for row in wrong)
    within = sum(row.domain == row.named_domain for row in wrong) / len(wrong)
    assert within == pytest.approx(0.6, abs=0.2)


def test_captions_name_a_class_exactly_where_they_should(
    rows: list[pool.TruthRow], texts: list[str]
) -> None:
    queries = [captions.query(domain, name) for domain in CLASSES for name in CLASSES[domain]]
    for row, text in zip(rows, texts, strict=True):
        if row.named_class:
            query = captions.query(row.named_domain, row.named_class)
            assert query.lower() in text.lower(), (row.kind, text)
        else:
            assert not [query for query in queries if query.lower() in text.lower()], text


def test_phrases_fit_the_renderer() -> None:
    phrases = captions.phrases()
    for domain, names in CLASSES.items():
        declared = phrases["domains"][domain]["classes"]
        assert list(declared) == list(names)
        for entry in declared.values():
            assert all(entry["query"].lower() in alias.lower() for alias in entry["aliases"])
    near = {kind for kind, domains in DISTRACTORS.items() if domains}
    assert near == set(phrases["distractors"])
    assert {homonym["kind"] for homonym in phrases["homonyms"]} <= set(DISTRACTORS)
    assert set(phrases["unrelated"]) <= set(DISTRACTORS) - near


def test_splits_share_no_image_with_each_other_or_with_clean_rows(
    rows: list[pool.TruthRow],
) -> None:
    seeds = [seed for split in pool.SPLITS for seed in pool.split_seeds(split)]
    assert len(set(seeds)) == len(seeds)
    leaked = {row.kind for row in rows if row.seed in set(seeds)}
    assert leaked == {"leak"}
    assert {row.seed for row in rows if row.kind == "leak"} <= set(pool.split_seeds("test"))


def test_split_arrays_follow_the_class_order() -> None:
    images, labels = pool.split_arrays("flowers", "val")
    assert (images.shape, images.dtype) == ((8 * 50, 32, 32, 3), np.dtype(np.uint8))
    assert labels.tolist() == [label for label in range(8) for _ in range(50)]


def test_copies_of_test_images_are_near_but_not_equal(rows: list[pool.TruthRow]) -> None:
    for row in [row for row in rows if row.kind == "leak"][:10]:
        original, copy = (pool.image_of(r).astype(int) for r in (row._replace(kind="true"), row))
        assert 0 < np.abs(original - copy).mean() < 16


def test_training_pairs_are_the_fetchable_rows(tmp_path: Path) -> None:
    pool.build_pool(tmp_path, size=200)
    fetchable = [row for row in pool.read_truth(tmp_path) if row.status == "ok"]
    images, texts = pool.training_pairs(tmp_path)
    assert images.shape == (len(fetchable), 32, 32, 3)
    assert len(texts) == len(fetchable)
    assert np.array_equal(images[-1], pool.image_of(fetchable[-1]))


def killed(row: int) -> pool.Pixels:
    """Render nothing: end this process, as the system does where memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)
    return np.full((1, 1, 3), row, np.uint8)


def test_a_killed_renderer_is_not_waited_for() -> None:
    with pytest.raises(BenchError, match="a process that renders images was ended"):
        pool.map_in_processes(killed, range(pool.CHUNK + 1), 2)


def test_the_server_shows_exactly_the_rows_pixels(web: MiniWeb, rows: list[pool.TruthRow]) -> None:
    good = [row for row in rows if row.status == "ok"]
    near = [row for row in good if row.kind == "near_duplicate"]
    for row in good[:10] + near[:3]:
        status, body = fetch(web.host, f"/{row.path}?width=32")
        assert status == 200
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), pool.image_of(row))


@pytest.mark.parametrize("status", ["403", "404", "500"])
def test_dead_links_answer_with_their_status(
    web: MiniWeb, rows: list[pool.TruthRow], status: str
) -> None:
    assert fetch_row(web, rows, status)[0] == int(status)


@pytest.mark.parametrize("status", ["html", "truncated", "empty"])
def test_non_images_arrive_but_do_not_decode(
    web: MiniWeb, rows: list[pool.TruthRow], status: str
) -> None:
    code, body = fetch_row(web, rows, status)
    assert code == 200
    with pytest.raises(OSError, match=r"identify|truncated"):
        Image.open(io.BytesIO(body)).load()


@pytest.mark.parametrize(
    "path", ["/", "/images/", "/../truth.parquet", "/images/%2e%2e/truth.parquet", "//etc/passwd"]
)
def test_any_other_path_is_not_found(web: MiniWeb, path: str) -> None:
    assert fetch(web.host, path)[0] == 404


def test_a_connection_is_kept_alive(web: MiniWeb, rows: list[pool.TruthRow]) -> None:
    connection = http.client.HTTPConnection(web.host, timeout=10)
    for row in rows[:5]:
        connection.request("GET", f"/{row.path}")
        response = connection.getresponse()
        response.read()
        assert not response.will_close
    connection.close()


def test_a_server_that_cannot_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "truth.parquet").write_bytes(b"not a table")
    with pytest.raises(BenchError, match="ended with code 1"), MiniWeb(tmp_path):
        pass


def test_the_server_dies_with_a_killed_parent(folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from bench.miniworld.server import MiniWeb\n"
        "with MiniWeb(Path(sys.argv[1])) as web: print(web.host, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        host = parent.stdout.readline().strip()
        assert fetch(host, "/")[0] == 404
        os.kill(parent.pid, signal.SIGKILL)

    def is_gone() -> bool:
        try:
            return not fetch(host, "/")
        except ConnectionError:
            return True

    until(is_gone, seconds=10, poll=0.1)
