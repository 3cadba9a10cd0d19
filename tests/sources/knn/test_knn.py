"""Semantic retrieval: the candidates from an index's nearest images, and what is refused."""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from bench.core.config import parse_config
from bench.core.errors import BenchError, RequestError
from bench.core.http_json import MAX_BYTES
from bench.core.json_values import Json
from bench.core.paths import Home
from sources.knn.index_folder import IndexFolder
from sources.knn.options import KnnOptions
from sources.knn.search import merge_candidates, search
from sources.knn.server import KnnServer
from sources.pool.ambiguous import Ambiguous
from sources.pool.scan import labelled, scan
from sources.retrieved import Retrieved
from tests.conftest import Bench
from tests.support.command_line import refusal
from tests.support.contexts import context, embedder
from tests.support.language_models import FakeServer, Handler
from tests.support.pools import Row, write_pool
from tests.support.tiny_clip import colour_task

COLOURS = colour_task()


def test_contradicting_options_are_refused() -> None:
    for knn, complaint in (
        ({}, "either url"),
        ({"url": "http://a", "index": "b"}, "either url"),
        ({"index": "b", "name": "c"}, "no url"),
    ):
        with pytest.raises(RequestError, match=complaint):
            parse_config(KnnOptions, {"model": "clip", **knn}, "the index")


def test_the_clip_of_an_index_is_the_filters_unless_another_is_given() -> None:
    for knn, model in (({"index": "b"}, "clip"), ({"index": "b", "model": "other"}, "other")):
        given = {"pool": "none", "retrieval": "knn", "filter": {"model": "clip"}, "knn": knn}
        options = parse_config(Retrieved.Options, given, "the source retrieved")
        assert options.knn == KnnOptions(index="b", k=500, model=model)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ((), "knn.url"),
        (("retrieval=captions", "knn.index=b"), "retrieval=captions"),
        (("knn.index=/nowhere",), "/nowhere has no image.index beside metadata/*.parquet"),
        (("knn.url=file:///etc/passwd",), "source.knn.url"),
        (("knn.url=http://u:p@a",), "source.knn.url"),
        (("knn.url=http://127.0.0.1:1",), "no clip-retrieval server"),
    ],
)
def test_a_wrong_request_ends_before_any_work(
    bench: Bench, home: Home, settings: tuple[str, ...], complaint: str
) -> None:
    assert complaint in refusal(bench, home, "retrieved", "retrieval=knn", *settings)
    assert not list(home.data.glob("*-*"))


Table = dict[str, list[Any]]
TABLE = {"url": ["http://a"], "caption": ["b"]}


def index_folder(folder: Path, *metadata: Table | bytes) -> IndexFolder:
    """Open an index of some metadata files; its vectors are not read."""
    (folder / "image.index").write_bytes(b"")
    (folder / "metadata").mkdir()
    for index, content in enumerate(metadata):
        path = folder / "metadata" / f"metadata_{index}.parquet"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pl.DataFrame(content).write_parquet(path)
    return IndexFolder(folder)


def test_an_index_folder_needs_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(RequestError, match="pip install faiss-cpu"):
        index_folder(tmp_path, TABLE)


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        (
            [{"image_path": ["/a.png"], "caption": ["b"]}],
            "has no columns URL and TEXT.*--enable_metadata True",
        ),
        ([TABLE, {"URL": ["a"]}], None),
        ([TABLE, {"link": ["a"], "TEXT": ["b"]}], None),
        ([TABLE, {"URL": ["a"], "TEXT": ["b"]}], None),
        ([TABLE, b"garbage"], None),
    ],
)
def test_metadata_is_checked(
    tmp_path: Path, metadata: list[Table | bytes], complaint: str | None
) -> None:
    with pytest.raises(RequestError, match=complaint):
        index_folder(tmp_path, *metadata)


@pytest.mark.parametrize(("punsafe", "complaint"), [(0.2, None), (20.0, "has 20, which is no")])
def test_an_index_folder_says_how_safe_an_image_is(
    tmp_path: Path, punsafe: float, complaint: str | None
) -> None:
    faiss = pytest.importorskip("faiss")
    table: Table = {**TABLE, "punsafe": [punsafe]}
    index = index_folder(tmp_path, table)
    vectors = faiss.IndexFlatIP(16)
    vectors.add(QUERY)
    faiss.write_index(vectors, str(tmp_path / "image.index"))
    if complaint is None:
        assert index.nearest(QUERY, 1).select("nsfw", "punsafe").row(0) == (None, punsafe)
        return
    with pytest.raises(RequestError, match=complaint):
        index.nearest(QUERY, 1)


Reply = tuple[int, bytes]


@contextmanager
def serving(reply: Callable[[int, Json], Reply], names: object = ("some",)) -> Iterator[str]:
    """Run a server whose n-th response to a payload is `reply(n, payload)`; yield its address."""
    numbers = itertools.count()

    def respond(handler: Handler, payload: Json) -> None:
        listed = (200, json.dumps(names).encode())
        status, body = reply(next(numbers), payload) if payload else listed
        handler.send(body, status, Location="http://127.0.0.1:1/")

    with FakeServer(respond).running() as server:
        yield server.url.removesuffix("/v1")


def images(*rows: Json) -> Reply:
    return 200, json.dumps([{"id": 1, "similarity": 0.5, **row} for row in rows]).encode()


QUERY = np.full((1, 16), 0.25, np.float32)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ((500, b"\x1b[2J secrets"), "status 500; was the index built with source.knn.model"),
        ((302, b""), "status 302"),
        ((404, b""), "status 404"),
        ((200, b"<html>"), "not JSON"),
        ((200, b"[" * 100_000), "not JSON"),
        ((200, b'[{"similarity": 0.5, "url": "\\ud800"}]'), "not JSON"),
        ((200, b" " * (MAX_BYTES + 1)), "more than 64 MiB"),
        ((200, b'{"message": "Internal"}'), "responds in another form"),
        ((200, b'[{"similarity": 1e999, "url": "http://a"}]'), "responds in another form"),
        ((200, b'[{"similarity": 0.5, "url": ["http://a"]}]'), "responds in another form"),
        ((200, b'[{"similarity": 0.5, "image_path": "/a.png"}]'), "have no URLs"),
    ],
)
def test_a_hostile_response_is_an_error_in_our_words(reply: Reply, complaint: str) -> None:
    with serving(lambda *_: reply) as url, pytest.raises(BenchError, match=complaint) as raised:
        KnnServer(url, None).nearest(QUERY, 3)
    assert "secrets" not in str(raised.value)


def test_a_server_that_fails_once_is_requested_again() -> None:
    with serving(lambda n, _: images({"url": "http://a"}) if n else (503, b"")) as url:
        assert KnnServer(url, None).nearest(QUERY, 3)["url"].to_list() == ["http://a"]


def test_a_response_is_read_in_every_spelling_and_no_further_than_k() -> None:
    missing = b'[{"id": 1, "similarity": 0.5, "URL": "http://a", "TEXT": "b", "NSFW": NaN,'
    missing += b'"punsafe": 0.2}]'
    many = images(*({"url": f"http://{i}", "caption": "c" * 20_000} for i in range(5)))
    with serving(lambda n, _: many if n else (200, missing)) as url:
        rows = KnnServer(url, None).nearest(np.repeat(QUERY, 2, axis=0), 3)
    assert rows.row(0) == (0, 0.5, "http://a", "b", None, 0.2)
    assert rows["query"].to_list() == [0, 1, 1, 1]
    assert rows["caption"].str.len_chars().max() == 10_000


@pytest.mark.parametrize(
    ("names", "name", "complaint"),
    [
        (["one", "two"], None, "has 2 indices; choose one: .*knn.name=.*of one, two"),
        (["one", "two"], "tow", "unknown index of .* 'tow'; did you mean two"),
        ([], None, "has 0 indices"),
        (["\x1b[2J"], None, "lists no indices"),
        ({"message": "no"}, None, "lists no indices"),
    ],
)
def test_one_of_several_indices_is_named(names: object, name: str | None, complaint: str) -> None:
    server = serving(lambda *_: images(), names)
    with server as url, pytest.raises(RequestError, match=complaint):
        KnnServer(url, name)


def options(clip: Path, url: str, k: int = 4) -> KnnOptions:
    return KnnOptions(url=url, k=k, model=str(clip))


def colours_of(
    home: Home, tiny_clip: Path, ambiguous: Ambiguous, reply: Callable[[int, Json], Reply]
) -> tuple[set[tuple[str, str]], Json]:
    """Return URL and class of what a scripted server gives the classes red, green and blue."""
    with serving(reply) as url:
        given = context(home, COLOURS)
        stage = merge_candidates(None, options(tiny_clip, url), ambiguous, given)
    rows = labelled(stage, ambiguous)
    assert rows["label"].to_list() == [COLOURS.class_names.index(n) for n in rows["class_name"]]
    return set(rows.select("url", "class_name").iter_rows()), stage.info()["knn"]


# Two prompts a class: requests 0 and 1 are for red, 2 and 3 for green, 4 and 5 for blue.
SCRIPT = [
    images({"url": "http://red"}, {"url": "http://all", "similarity": 0.2}),
    images({"url": "http://red", "similarity": 0.9}, {"url": "http://tie"}),
    images({"url": "http://all", "similarity": 0.4}, {"url": "http://tie"}),
    images({"url": "file:///etc/passwd"}, {"url": "http://bad", "NSFW": "NSFW"}),
    images({"url": "http://all", "similarity": 0.3}, {"url": "http://so", "NSFW": "unsure"}),
    images({"url": "http://unsafe", "punsafe": 0.11}),
]


@pytest.mark.parametrize(
    ("ambiguous", "expected"),
    [
        ("longest", "red=red all=green"),
        ("drop", "red=red"),
        ("all", "red=red all=red all=green all=blue tie=red tie=green"),
    ],
)
def test_ambiguous_images(home: Home, tiny_clip: Path, ambiguous: Ambiguous, expected: str) -> None:
    pairs, counts = colours_of(home, tiny_clip, ambiguous, lambda n, _: SCRIPT[n])
    assert {f"{url.removeprefix('http://')}={name}" for url, name in pairs} == {*expected.split()}
    assert (counts["requested"], counts["returned"], counts["duplicates"]) == (24, 11, 1)
    assert (counts["no web URL"], counts["flagged NSFW or UNSURE"]) == (1, 2)
    assert (counts["punsafe too high"], counts["without a flag column"]) == (1, 0)
    red = counts["classes"]["red"]
    assert (red["requested"], red["returned"], red["distinct"]) == (8, 4, 3)


def test_the_queries_are_the_embeddings_of_the_prompts(home: Home, tiny_clip: Path) -> None:
    payloads: list[Json] = []

    def reply(n: int, payload: Json) -> Reply:
        payloads.append(payload)
        return images({"url": f"http://{n}"})

    colours_of(home, tiny_clip, "longest", reply)
    prompts = [text for name in COLOURS.class_names for text in COLOURS.prompts(name)]
    sent = np.array([payload["embedding_input"] for payload in payloads])
    np.testing.assert_allclose(sent, embedder(str(tiny_clip)).texts(prompts), atol=1e-6)
    for payload in payloads:
        assert payload["num_images"] == payload["num_result_ids"] == 4
        assert payload["indice_name"] == "some"


def test_the_class_in_a_caption_has_priority_over_the_nearest(home: Home, tiny_clip: Path) -> None:
    given = context(home, COLOURS)
    rows: list[Row] = [("http://a", "a blue bird", None), ("http://b", "a green leaf", None)]
    scanned = scan(write_pool(home.root / "pool", rows), COLOURS, given)
    near = images({"url": "http://a"}, {"url": "http://c", "similarity": 0.4})
    unambiguous, named = {("http://b", "green"), ("http://c", "red")}, ("http://a", "blue")
    expected: dict[Ambiguous, set[tuple[str, str]]] = {
        "longest": {*unambiguous, named},
        "drop": unambiguous,
        "all": {*unambiguous, named, ("http://a", "red")},
    }
    with serving(lambda n, _: images() if n else near) as url:
        for ambiguous, pairs in expected.items():
            stage = merge_candidates(scanned, options(tiny_clip, url), ambiguous, given)
            assert set(labelled(stage, ambiguous)["url", "class_name"].rows()) == pairs
            info = stage.info()
            assert (info["rows"], info["knn"]["also matched by caption"]) == (2, 1)


def test_an_index_that_returns_nothing_is_a_request_error(home: Home, tiny_clip: Path) -> None:
    with pytest.raises(RequestError, match="the index has no image for task 'colours'"):
        colours_of(home, tiny_clip, "longest", lambda *_: images())


def test_a_stopped_search_continues_with_the_next_shard(home: Home, tiny_clip: Path) -> None:
    names = tuple(f"{name} {index}" for name in COLOURS.class_names for index in range(4))
    given = context(home, msgspec.structs.replace(COLOURS, class_names=names))
    numbers: list[int] = []

    def reply(n: int, _: Json) -> Reply:
        numbers.append(n)
        return (404, b"") if n == 20 else images({"url": f"http://{n}"})

    with serving(reply) as url:
        with pytest.raises(BenchError, match="status 404"):
            search(options(tiny_clip, url, k=1), given)
        for _ in range(2):
            search(options(tiny_clip, url, k=1), given)
    # Ten classes with two prompts each are a shard, and are not requested again.
    assert len(numbers) == 21 + 2 * 2
