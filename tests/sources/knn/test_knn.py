"""Semantic retrieval: what an index's nearest images become, and what is refused.

The index is built and served by clip-retrieval's own programs, in their environment.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import numpy as np
import polars as pl
import pytest
from PIL import Image

from adapt.models import ClipEmbedder, load_clip
from bench.core.arrays import FloatArray
from bench.core.config import parse_config
from bench.core.errors import BenchError, RequestError
from bench.core.http_json import MAX_BYTES
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.miniworld.pool import image_of, read_truth
from bench.plugins import source_of
from bench.plugins.source import Context
from bench.tasks import find_task
from sources.knn.index_folder import IndexFolder
from sources.knn.options import KnnOptions
from sources.knn.search import nearest, with_nearest
from sources.knn.server import Server
from sources.pool.ambiguous import Ambiguous
from sources.pool.pool import Pool
from sources.pool.scan import labelled, scan
from sources.retrieved import Retrieved
from tests.conftest import ROOT, Bench, Web
from tests.support.source_options import options_of
from tests.support.tiny_clip import colour_task

MINI = find_task("mini-aircraft")
COLOURS = colour_task()
WEIGHTS = ROOT / "bench" / "miniworld" / "weights" / "clip"


def context(home: Home, task: Task) -> Context:
    return Context(home, task, None, 0, embedder, Progress(quiet=True))


def embedder(name: str) -> ClipEmbedder:
    return ClipEmbedder(load_clip(Home(Path("nowhere")).find_weights(name)))


def options(filter_model: Path | str, **more: object) -> Retrieved.Options:
    settings = {"retrieval": "knn", **more}
    given = options_of("retrieved", pool="none", filter__model=str(filter_model), **settings)
    return parse_config(Retrieved.Options, given, "the source retrieved")


def index(model: Path | str, **more: object) -> KnnOptions:
    chosen = options(model, **more).knn
    assert chosen is not None
    return chosen


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"retrieval": "knn"}, "retrieval=knn needs knn.url, a server, or knn.index, a folder"),
        ({"retrieval": "both", "url": "http://a", "index": "b"}, "either url, .* or index"),
        ({"retrieval": "captions", "url": "http://a"}, "knn means nothing to retrieval=captions"),
        ({"retrieval": "knn", "index": "b", "knn__name": "c"}, "no url is given"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given: Json, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        options("clip", **given)


def test_defaults_are_filled_in_where_they_count() -> None:
    asked = index("clip", index="b")
    assert (asked.k, asked.model) == (500, "clip")
    assert index("clip", index="b", knn__model="other").model == "other"
    assert options("clip", retrieval="captions").knn is None


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ((), "needs knn.url"),
        (("source.knn.index=/nowhere",), "/nowhere has no image.index beside metadata/*.parquet"),
        (("source.knn.url=file:///etc/passwd",), "is no address of a server"),
        (("source.knn.url=http://u:p@a",), "is no address of a server"),
        (("source.knn.url=http://127.0.0.1:1",), "no clip-retrieval server answers"),
    ],
)
def test_a_wrong_request_ends_before_any_work(
    bench: Bench, home: Home, settings: tuple[str, ...], complaint: str
) -> None:
    words = ["run", "--source", "retrieved", "--task", "aircraft", "--preset", "mini", "--n", "10"]
    for setting in ("source.retrieval=knn", *settings):
        words += ["--set", setting]
    outcome = bench(*words)
    assert outcome.code == 2
    assert complaint in outcome.complaint
    assert not list(home.data.glob("*-*"))


def test_without_faiss_an_index_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"url": ["http://a"], "caption": ["b"]})
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(RequestError, match=r"faiss, .*, is not installed; pip install faiss-cpu"):
        IndexFolder(tmp_path)


def test_an_index_without_addresses_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"image_path": ["/a.png"], "caption": ["b"]})
    with pytest.raises(RequestError, match=r"has no columns URL and TEXT.*--enable_metadata True"):
        IndexFolder(tmp_path)


def write_folder(folder: Path, metadata: dict[str, list[str]]) -> None:
    (folder / "image.index").write_bytes(b"")
    (folder / "metadata").mkdir()
    pl.DataFrame(metadata).write_parquet(folder / "metadata" / "metadata_0.parquet")


# ---------------------------------------------------------------- servers of every kind

Reply = tuple[int, bytes]


@contextmanager
def serving(reply: Callable[[int, Json], Reply], names: object = ("some",)) -> Iterator[str]:
    """Run a server whose n-th answer to a question is `reply(n, question)`; yield its address."""
    asked = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say(200, json.dumps(names).encode())

        def do_POST(self) -> None:
            nonlocal asked
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked += 1
            self.say(*reply(asked - 1, question))

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def images(*rows: Json) -> Reply:
    return 200, json.dumps([{"id": 1, "similarity": 0.5, **row} for row in rows]).encode()


QUERY = np.full((1, 16), 0.25, np.float32)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ((500, b"\x1b[2J secrets"), "status 500; was the index built with source.knn.model"),
        ((302, b""), "status 302"),
        ((404, b""), "status 404"),
        ((200, b"<html>"), "no JSON"),
        ((200, b"[" * 100_000), "no JSON"),
        ((200, b'[{"similarity": 0.5, "url": "\\ud800"}]'), "no JSON"),
        ((200, b" " * (MAX_BYTES + 1)), "more than 64 MiB"),
        ((200, b'{"message": "Internal"}'), "answers in another form"),
        ((200, b'[{"similarity": 1e999, "url": "http://a"}]'), "answers in another form"),
        ((200, b'[{"similarity": 0.5, "url": ["http://a"]}]'), "answers in another form"),
        ((200, b'[{"similarity": 0.5, "image_path": "/a.png"}]'), "have no addresses"),
    ],
)
def test_a_hostile_answer_is_an_error_in_our_words(reply: Reply, complaint: str) -> None:
    with serving(lambda *_: reply) as url, pytest.raises(BenchError, match=complaint) as raised:
        Server(url, None).nearest(QUERY, 3)
    assert "secrets" not in str(raised.value)


def test_a_server_that_fails_once_is_asked_again() -> None:
    with serving(lambda n, _: images({"url": "http://a"}) if n else (503, b"")) as url:
        assert Server(url, None).nearest(QUERY, 3)["url"].to_list() == ["http://a"]


def test_an_answer_is_read_in_every_spelling_and_no_further_than_k() -> None:
    missing = b'[{"id": 1, "similarity": 0.5, "URL": "http://a", "TEXT": "b", "NSFW": NaN}]'
    many = images(*({"url": f"http://{i}", "caption": "c" * 20_000} for i in range(5)))
    with serving(lambda n, _: many if n else (200, missing)) as url:
        rows = Server(url, None).nearest(np.repeat(QUERY, 2, axis=0), 3)
    assert rows.row(0) == (0, 0.5, "http://a", "b", None)
    assert rows["query"].to_list() == [0, 1, 1, 1]
    assert rows["caption"].str.len_chars().max() == 10_000


@pytest.mark.parametrize(
    ("names", "name", "complaint"),
    [
        (["one", "two"], None, "has 2 indices; choose one: .*knn.name=.*of one, two"),
        (["one", "two"], "tow", "unknown index of .* 'tow'; did you mean two"),
        ([], None, "has 0 indices"),
        (["\x1b[2J"], None, "its list of indices is none"),
        ({"message": "no"}, None, "its list of indices is none"),
    ],
)
def test_an_index_of_a_server_has_to_be_named_if_it_has_several(
    names: object, name: str | None, complaint: str
) -> None:
    answer = serving(lambda *_: images(), names)
    with answer as url, pytest.raises(RequestError, match=complaint):
        Server(url, name)


# ---------------------------------------------------------------- what becomes of the answers


def colours_of(
    home: Home, tiny_clip: Path, ambiguous: Ambiguous, reply: Callable[[int, Json], Reply]
) -> tuple[set[tuple[str, str]], Json]:
    """Return URL and class of what a scripted server gives the classes red, green and blue."""
    with serving(reply) as url:
        chosen = index(tiny_clip, url=url, k=4)
        stage = with_nearest(None, chosen, ambiguous, context(home, COLOURS))
    rows = labelled(stage, ambiguous)
    assert rows["label"].to_list() == [COLOURS.class_names.index(n) for n in rows["class_name"]]
    return set(rows.select("url", "class_name").iter_rows()), stage.info()["knn"]


# Two prompts a class: questions 0 and 1 are for red, 2 and 3 for green, 4 and 5 for blue.
SCRIPT = [
    images({"url": "http://red"}, {"url": "http://all", "similarity": 0.2}),
    images({"url": "http://red", "similarity": 0.9}, {"url": "http://tie"}),
    images({"url": "http://all", "similarity": 0.4}, {"url": "http://tie"}),
    images({"url": "file:///etc/passwd"}, {"url": "http://bad", "NSFW": "NSFW"}),
    images({"url": "http://all", "similarity": 0.3}, {"url": "http://so", "NSFW": "unsure"}),
    images(),
]


@pytest.mark.parametrize(
    ("ambiguous", "expected"),
    [
        ("longest", {("red", "red"), ("all", "green")}),
        ("drop", {("red", "red")}),
        (
            "all",
            {
                ("red", "red"), ("all", "red"), ("all", "green"), ("all", "blue"),
                ("tie", "red"), ("tie", "green"),
            },
        ),
    ],
)  # fmt: skip
def test_an_image_near_to_several_classes_goes_to_the_nearest_or_as_told(
    home: Home, tiny_clip: Path, ambiguous: Ambiguous, expected: set[tuple[str, str]]
) -> None:
    found, said = colours_of(home, tiny_clip, ambiguous, lambda n, _: SCRIPT[n])
    assert found == {(f"http://{url}", name) for url, name in expected}
    assert {name: said[name] for name in ("asked", "found", "duplicates")} == {
        "asked": 24, "found": 10, "duplicates": 1,
    }  # fmt: skip
    assert (said["no web URL"], said["flagged NSFW or UNSURE"]) == (1, 2)
    assert said["classes"]["red"]["asked"] == 8
    assert (said["classes"]["red"]["found"], said["classes"]["red"]["different"]) == (4, 3)


def test_the_questions_are_the_embeddings_of_the_prompts(home: Home, tiny_clip: Path) -> None:
    asked: list[Json] = []

    def reply(n: int, question: Json) -> Reply:
        asked.append(question)
        return images({"url": f"http://{n}"})

    colours_of(home, tiny_clip, "longest", reply)
    prompts = [text for name in COLOURS.class_names for text in COLOURS.prompts(name)]
    sent = np.array([question["embedding_input"] for question in asked])
    np.testing.assert_allclose(sent, embedder(str(tiny_clip)).texts(prompts), atol=1e-6)
    assert {(q["num_images"], q["num_result_ids"], q["indice_name"]) for q in asked} == {
        (4, 4, "some")
    }


def test_what_a_caption_names_stands_before_what_is_near(
    home: Home, tiny_clip: Path, tmp_path: Path
) -> None:
    rows = {"URL": ["http://a", "http://b"], "TEXT": ["a blue bird", "a green leaf"]}
    pl.DataFrame(rows).write_parquet(tmp_path / "0.parquet")
    scanned = scan(Pool("some", tmp_path), COLOURS, context(home, COLOURS))
    near = images({"url": "http://a"}, {"url": "http://c", "similarity": 0.4})
    with serving(lambda n, _: images() if n else near) as url:
        chosen = index(tiny_clip, url=url, retrieval="both")
        policies: tuple[Ambiguous, ...] = ("longest", "drop", "all")
        stages = {
            ambiguous: with_nearest(scanned, chosen, ambiguous, context(home, COLOURS))
            for ambiguous in policies
        }
    found: dict[Ambiguous, set[tuple[str, str]]] = {
        ambiguous: set(labelled(stage, ambiguous).select("url", "class_name").iter_rows())
        for ambiguous, stage in stages.items()
    }
    sure = {("http://b", "green"), ("http://c", "red")}
    assert found["longest"] == sure | {("http://a", "blue")}
    assert found["drop"] == sure
    assert found["all"] == sure | {("http://a", "blue"), ("http://a", "red")}
    info = stages["longest"].info()
    assert (info["rows"], info["knn"]["also found by caption"]) == (2, 1)


def test_an_index_that_finds_nothing_is_a_request_error(home: Home, tiny_clip: Path) -> None:
    with pytest.raises(RequestError, match="the index has no image for task 'colours'"):
        colours_of(home, tiny_clip, "longest", lambda *_: images())


def test_a_search_that_was_stopped_goes_on_where_it_was(home: Home, tiny_clip: Path) -> None:
    names = tuple(f"{name} {index}" for name in COLOURS.class_names for index in range(4))
    task = msgspec.structs.replace(COLOURS, class_names=names)
    asked: list[int] = []

    def reply(n: int, _: Json) -> Reply:
        asked.append(n)
        return (404, b"") if n == 20 else images({"url": f"http://{n}"})

    with serving(reply) as url:
        chosen = index(tiny_clip, url=url, k=1)
        with pytest.raises(BenchError, match="status 404"):
            nearest(chosen, context(home, task))
        nearest(chosen, context(home, task))
        nearest(chosen, context(home, task))
    # Ten classes with two prompts each are a shard, and are not asked for again.
    assert len(asked) == 21 + 2 * 2


# ---------------------------------------------------------------- clip-retrieval itself

KNN = ROOT / ".venv-knn"
# The programs know the CLIPs of open_clip; ours is made known to them first, with what it does to
# pixels. They leave every CLIP in training mode, which is all the same to those without batch norm.
PROGRAM = """
import json, sys, open_clip
open_clip.add_model_config(sys.argv.pop(1))
pixels = json.loads(sys.argv.pop(1))
create = open_clip.create_model_and_transforms
def created(*words, **more):
    model, *transforms = create(*words, **more, **pixels)
    return model.eval(), *transforms
open_clip.create_model_and_transforms = created
from clip_retrieval.cli import main
main()
"""


class Built(NamedTuple):
    """An index that clip-retrieval built of images that a server on loopback shows.

    Attributes:
        folder: What ``clip-retrieval index`` wrote.
        embeddings: What ``clip-retrieval inference`` made of the images, float32 ``[n, dim]``.
        images: The images, in that order.
        config: The CLIP's configuration, for `PROGRAM`.
        clip: The CLIP's name for the programs.
    """

    folder: Path
    embeddings: FloatArray
    images: list[Image.Image]
    config: Path
    clip: str


def program(config: Path, *words: object) -> list[str]:
    own = json.loads((WEIGHTS / "open_clip_config.json").read_text())["preprocess_cfg"]
    pixels = json.dumps({f"image_{name}": value for name, value in own.items()})
    return [str(KNN / "bin" / "python"), "-c", PROGRAM, str(config), pixels, *map(str, words)]


def offline() -> dict[str, str]:
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**without, **own, "WANDB_MODE": "disabled"}


@pytest.fixture(scope="session")
def built(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An index of 200 images of the miniature world."""
    if not (KNN / "ready").is_file():
        pytest.skip("clip-retrieval is not installed here: make knn-env")
    pytest.importorskip("faiss", reason="faiss-cpu is not installed here: make setup")
    root = tmp_path_factory.mktemp("knn")
    config, clip = known_clip(root)
    pixels = write_images(web, root / "00000.tar", 200)
    common = ("--wds_image_key=png", "--enable_metadata=True", "--num_prepro_workers=1")
    for words in (
        ("inference", root / "00000.tar", root / "made", "--input_format=webdataset",
         f"--clip_model={clip}", "--batch_size=50", *common),
        ("index", root / "made", root / "index", "--nb_cores=1",
         "--max_index_memory_usage=1G", "--current_memory_available=2G"),
    ):  # fmt: skip
        done = subprocess.run(
            program(config, *words), env=offline(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    parts = [np.load(path) for path in sorted((root / "made" / "img_emb").glob("*.npy"))]
    embeddings = np.concatenate(parts).astype(np.float32)
    return Built(root / "index", embeddings, pixels, config, clip)


def known_clip(root: Path) -> tuple[Path, str]:
    """Return the miniature CLIP's configuration as open_clip registers it, and its name."""
    content = json.loads((WEIGHTS / "open_clip_config.json").read_text())["model_cfg"]
    content["text_cfg"]["hf_tokenizer_name"] = str(WEIGHTS)
    config = root / "miniworld.json"
    config.write_text(json.dumps(content))
    return config, f"open_clip:miniworld/{WEIGHTS / 'open_clip_model.safetensors'}"


def write_images(web: Web, tar: Path, count: int) -> list[Image.Image]:
    """Write and return images with their captions and addresses, as img2dataset does."""
    pool = pl.concat(pl.read_parquet(file) for file in sorted(web.pool.glob("*.parquet")))
    truth = {row.path: row for row in read_truth(web.world) if row.status == "ok"}
    written: list[Image.Image] = []
    with tarfile.open(tar, "w") as stream:
        for url, text, nsfw in pool.select("URL", "TEXT", "NSFW").iter_rows():
            row = truth.get("images/" + url.rpartition("/")[2])
            if row is None or len(written) == count:
                continue
            image, picture = Image.fromarray(image_of(row)), io.BytesIO()
            image.save(picture, "png")
            about = json.dumps({"url": url, "NSFW": nsfw}).encode()
            for suffix, content in (
                ("png", picture.getvalue()), ("txt", text.encode()), ("json", about),
            ):  # fmt: skip
                member = tarfile.TarInfo(f"{len(written):09d}.{suffix}")
                member.size = len(content)
                stream.addfile(member, io.BytesIO(content))
            written.append(image)
    assert len(written) == count
    return written


@pytest.fixture(scope="module")
def served(built: Built) -> Iterator[str]:
    """The address of a ``clip-retrieval back`` that serves the index."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = built.folder.parent / "indices.json"
    paths.write_text(json.dumps({"miniworld": str(built.folder)}))
    log = built.folder.parent / "back.log"
    words = program(
        built.config, "back", f"--indices_paths={paths}", f"--port={port}",
        f"--clip_model={built.clip}", "--use_jit=False", "--enable_mclip_option=False",
        "--provide_aesthetic_embeddings=False",
    )  # fmt: skip
    with log.open("wb") as stream:
        process = subprocess.Popen(words, env=offline(), stdout=stream, stderr=stream)
    try:
        url = f"http://127.0.0.1:{port}"
        while not answers(url):
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/indices-list").is_success
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_its_embeddings_are_the_ones_that_the_same_clip_makes_here(built: Built) -> None:
    ours = embedder("clip").images(built.images)
    # It keeps half precision: 11 bits.
    np.testing.assert_allclose(built.embeddings, ours, atol=2e-3)


@pytest.mark.slow
def test_a_folder_is_searched_as_its_embeddings_say(built: Built) -> None:
    queries = embedder("clip").texts(MINI.prompts(MINI.class_names[0]))
    rows = IndexFolder(built.folder).nearest(queries, 20)
    cosines = np.sort(queries @ built.embeddings.T, axis=1)[:, ::-1][:, :20]
    assert rows["query"].to_list() == [query for query in range(len(queries)) for _ in range(20)]
    np.testing.assert_allclose(rows["similarity"], cosines.ravel(), atol=1e-3)


@pytest.mark.slow
def test_a_server_and_its_folder_give_the_same(built: Built, served: str) -> None:
    queries = embedder("clip").texts(MINI.prompts(MINI.class_names[0]))
    near, far = (
        index.nearest(queries, 500).sort("query", "url")
        for index in (IndexFolder(built.folder), Server(served, None))
    )
    assert near.height == 200 * len(queries)
    assert near.drop("similarity").equals(far.drop("similarity"))
    np.testing.assert_allclose(near["similarity"], far["similarity"], atol=1e-5)


@pytest.mark.slow
def test_an_index_of_another_clip_is_refused(built: Built, served: str) -> None:
    with pytest.raises(RequestError, match=r"have 128 numbers, .* 16; name the CLIP"):
        IndexFolder(built.folder).nearest(QUERY, 3)
    with pytest.raises(BenchError, match="status 500; was the index built with"):
        Server(served, None).nearest(QUERY, 3)


@pytest.mark.slow
def test_images_found_by_nearness_are_fetched_and_kept(built: Built, web: Web, home: Home) -> None:
    given = options_of(
        "retrieved", pool="not here", filter__model="clip", tau=-1, image_size=32, suffix=".png",
        allow_private=[web.host], preflight=0, retrieval="knn", index=str(built.folder), k=5,
    )  # fmt: skip
    source = source_of("retrieved", given)
    assert set(source.fingerprints(home)) == {"filter_model", "knn", "knn_model"}
    found = source.collect(context(home, MINI))
    said = found.manifest.stage_counts["knn"]
    assert said["asked"] == said["found"] == 5 * len(MINI.templates) * len(MINI.class_names)
    assert said["naming a class"] >= found.manifest.stage_counts["matched"] >= len(found) > 0
    rows = found.index()
    assert set(rows["origin"]) == {"retrieved"}
    # Nearness in this CLIP's space knows the classes: far more often right than by chance.
    truth = {f"http://{web.host}/{row.path}": row.name for row in read_truth(web.world)}
    right = [truth[url] == name for url, name in rows.select("url", "class_name").iter_rows()]
    assert sum(right) > 3 * len(right) / len(MINI.class_names)


@pytest.mark.slow
def test_a_folder_whose_parts_do_not_fit_is_refused(built: Built, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(built.folder, folder)
    metadata = next((folder / "metadata").glob("*.parquet"))
    pl.read_parquet(metadata)[:150].write_parquet(metadata)
    with pytest.raises(RequestError, match="has 200 vectors, its metadata 150 rows"):
        IndexFolder(folder).nearest(QUERY, 3)
    (folder / "image.index").write_bytes(b"none")
    with pytest.raises(RequestError, match="is no faiss index"):
        IndexFolder(folder).nearest(QUERY, 3)
