"""The download, from servers at their worst: what is refused, bounded, tried again, resumed."""

import io
import random
import re
import signal
import ssl
import struct
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.core.errors import BenchError, RequestError
from bench.core.intervals import wilson
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.plugins import source_of
from bench.plugins.source import Context
from bench.storage.stage import Stage
from bench.storage.tar_shards import decode, encode, read_bytes
from bench.tasks import find_task
from sources.download.addresses import is_public, parse_endpoint
from sources.download.download import download
from sources.download.failures import KINDS, kind_of_row
from sources.download.options import DownloadOptions
from sources.download.preflight import forecast
from sources.pool.pool import Pool
from sources.pool.scan import candidates, scan
from tests.conftest import Web, command, environment
from tests.support.source_options import options_of
from tests.support.tiny_clip import ColourTask, colour_task

HOSTILE = "<script>" + "x" * 500
JPEG = encode(
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)), ".jpg"
)
PNG = encode(Image.new("RGB", (64, 20), "red"), ".png")


def header_of_a_bomb() -> bytes:
    """A PNG that says it has ten thousand million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 6, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header))
    return PNG[:8] + struct.pack(">I", 13) + header + crc + PNG[33:]


def scan_bomb() -> bytes:
    """A JPEG whose last scan comes a hundred times more, each time to be decoded in full."""
    stream = io.BytesIO()
    Image.new("L", (64, 64), 128).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    start = whole.rindex(b"\xff\xda")
    return whole[:start] + whole[start:-2] * 100 + whole[-2:]


def encode_rgba(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


BODIES = {
    "fine": PNG,
    "small": encode(Image.new("RGB", (10, 10), "red"), ".png"),
    "html": b"<!doctype html><title>Moved</title>",
    "empty": b"",
    "scans": scan_bomb(),
    "half.png": PNG[: len(PNG) // 2],
    "half.jpg": JPEG[: len(JPEG) // 2],
    "bomb": encode(Image.new("1", (8001, 8000)), ".png"),
    "claim": header_of_a_bomb(),
    "see-through": encode_rgba(Image.new("RGBA", (3001, 3000))),
    "program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}
HEADERS = {
    "noai": ("X-Robots-Tag", "noai"),
    "ours": ("X-Robots-Tag", "retrieved-or-generated: noindex"),
    "theirs": ("X-Robots-Tag", "otherbot: noai"),
    "nofollow": ("X-Robots-Tag", "nofollow"),
    "long-header": ("X-Long", "x" * 70_000),
    "short": ("Content-Length", "1000000"),
    "huge": ("Content-Length", "1000000000000"),
}
DRIPS = {
    "silent": (b"", b""),
    "drip-headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "drip": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
}
"""What is sent at once, and then again and again."""


class Worst(BaseHTTPRequestHandler):
    """What it answers is in the address; the addresses asked for are noted."""

    server: "Server"

    def do_GET(self) -> None:
        name = self.path.strip("/").partition("?")[0]
        self.server.asked[name] += 1
        with suppress(OSError):
            self.answer(name)

    def answer(self, name: str) -> None:
        word, _, more = name.partition("/")
        if word == "status" or (word == "first" and self.server.asked[name] == 1):
            self.wfile.write(f"HTTP/1.1 {more} {HOSTILE}\r\n\r\n".encode())
        elif word == "garbage":
            self.wfile.write(HOSTILE.encode() + b"\r\n\r\n")
        elif word == "to":
            self.reply(b"", ("Location", self.server.targets[more]), status=302)
        elif word in DRIPS:
            self.drip(*DRIPS[word])
        else:
            self.reply(BODIES.get(word, PNG), *([HEADERS[word]] if word in HEADERS else []))
            while word == "endless":
                self.wfile.write(bytes(2**20))

    def reply(self, body: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, start: bytes, drop: bytes) -> None:
        self.wfile.write(start)
        while not self.server.closing.wait(0.2):
            self.wfile.write(drop)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Worst)
        self.asked: Counter[str] = Counter()
        self.targets: dict[str, str] = {}
        self.closing = Event()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.place}/{path}"


@contextmanager
def serving(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server(port) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()


ROSES = Task(
    name="roses",
    version=1,
    class_names=("rose", "lily"),
    templates=("a {}",),
    domain_texts=("a flower",),
)


class Said(Progress):
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        super().__init__(self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()


def context(home: Home, task: Task = ROSES, progress: Progress | None = None) -> Context:
    def no_embedder(name: str) -> Any:
        raise AssertionError(name)

    return Context(home, task, None, 0, no_embedder, progress or Progress(quiet=True))


def pool_of(folder: Path, urls: Sequence[str], caption: str = "a rose") -> Pool:
    folder.mkdir(parents=True, exist_ok=True)
    rows = pl.DataFrame({"URL": list(urls)})
    rows.with_columns(TEXT=pl.lit(caption), NSFW=pl.lit("UNLIKELY")).write_parquet(
        folder / "0.parquet"
    )
    return Pool(str(folder), folder)


def fetch(
    home: Home, urls: Sequence[str], progress: Progress | None = None, **options: Any
) -> dict[str, tuple[str | None, Image.Image | None]]:
    """Return URL to how its download failed, and the image."""
    given = context(home, progress=progress)
    pool = pool_of(home.root / "pool", urls)
    scanned = scan(pool, ROSES, given)
    small = {"image_size": 32, "suffix": ".png", "retries": 0, "timeout_s": 2, **options}
    stage = download(pool, scanned, DownloadOptions(**small), given)
    found: dict[str, tuple[str | None, Image.Image | None]] = {}
    for folder in stage.shards():
        rows = pl.read_parquet(folder / "index.parquet").join(candidates(scanned), on="key")
        for row in rows.iter_rows(named=True):
            image = None
            if row["offset"] is not None:
                image = decode(read_bytes(folder / "images.tar", row["offset"], row["size"]))
            found[row["url"]] = (row["failure"], image)
    return found


# ---------------------------------------------------------------- which addresses


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "169.254.169.254",
        "172.31.0.1", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
        "168.63.129.16", "::", "::1", "::127.0.0.1", "fe80::1", "fec0::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2001:0:7f00:1::",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_no_address_off_the_internet_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_what_python_knows_to_be_special_is_never_public(address: Any) -> None:
    inner = getattr(address, "ipv4_mapped", None) or address
    special = ("is_loopback", "is_link_local", "is_multicast", "is_unspecified", "is_private")
    if any(getattr(inner, name) for name in special):
        assert not is_public(str(address))


@pytest.mark.parametrize("text", ["", "10.0.0.7", "images.local:80", "10.0.0.7:http", "10.0.0.7:"])
def test_a_private_place_is_an_address_and_a_port(text: str) -> None:
    options = options_of("retrieved", pool="miniworld", filter__model="m", allow_private=[text])
    with pytest.raises(RequestError, match="is not ADDRESS:PORT"):
        source_of("retrieved", options)


def test_places_are_read_in_one_spelling() -> None:
    assert parse_endpoint("[FD00::0007]:80") == ("fd00::7", 80)


# ---------------------------------------------------------------- what each address brings

WITHIN = {
    "fine": None,
    "html": "not an image",
    "empty": "not an image",
    "half.png": "not an image",
    "half.jpg": "not an image",
    "bomb": "too large",
    "scans": "too large",
    "claim": "too large",
    "see-through": "too large",
    "program": "not an image",
    "endless": "too large",
    "huge": "too large",
    "short": "cut short",
    "silent": "timeout",
    "drip": "timeout",
    "drip-headers": "timeout",
    "garbage": "bad answer",
    "long-header": "bad answer",
    "noai": "opted out",
    "ours": "opted out",
    "theirs": None,
    "nofollow": None,
    "status/404": "http 404",
    "status/403": "http 403",
    "status/999": "http 9xx",
    "status/500": "http 500",
    "first/429": None,
    "first/503": None,
    "to/fine": None,
    "to/loop": "bad redirect",
    "to/file": "bad redirect",
    "to/ftp": "bad address",
}
"""Path on the server that is allowed to how its download ends after one retry."""

BEYOND = {
    "inner": "http://127.0.0.1:{port}/a",
    "name": "http://localhost:{port}/b",
    "decimal": "http://2130706433:{port}/c",
    "hexadecimal": "http://0x7f.1:{port}/d",
    "octal": "http://0177.0.0.1:{port}/e",
    "two-parts": "http://127.1:{port}/f",
    "escaped": "http://%31%32%37.0.0.1:{port}/g",
    "mapped": "http://[::ffff:127.0.0.1]:{port}/h",
    "any": "http://0.0.0.0:{port}/i",
    "metadata": "http://169.254.169.254/latest/meta-data",
}
"""Spellings of addresses that are not public; a server listens at all but one."""


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, Server, dict[str, str | None]]]:
    """The server that is allowed, another beside it, and how all downloads ended."""
    home = Home(tmp_path_factory.mktemp("worst"))
    with serving() as outer, serving() as inner:
        beyond = {name: url.format(port=inner.server_port) for name, url in BEYOND.items()}
        outer.targets = {
            **beyond,
            "fine": outer.url("fine?moved"),
            "loop": outer.url("to/loop"),
            "file": "file:///etc/hostname",
            "ftp": f"ftp://{inner.place}/x.png",
        }
        paths = [*WITHIN, *(f"to/{name}" for name in BEYOND)]
        urls = [outer.url(path) for path in paths] + [*beyond.values()]
        found = fetch(home, urls, allow_private=(outer.place,), retries=1, deadline_s=4, threads=16)
        names = dict(zip(urls, [*paths, *BEYOND], strict=True))
        yield outer, inner, {names[url]: failure for url, (failure, _) in found.items()}


@pytest.mark.slow
def test_what_is_wrong_with_an_answer_costs_one_row_and_has_a_name(outcomes: Any) -> None:
    _, _, found = outcomes
    assert {name: found[name] for name in WITHIN} == WITHIN


@pytest.mark.slow
def test_private_addresses_are_refused_in_every_spelling_and_after_redirects(outcomes: Any) -> None:
    _, inner, found = outcomes
    for name in BEYOND:
        assert found[name] == "refused address", name
        assert found[f"to/{name}"] == "refused address", name
    assert not inner.asked


@pytest.mark.slow
def test_only_what_may_pass_is_tried_again(outcomes: Any) -> None:
    asked = outcomes[0].asked
    again = {"status/500", "first/429", "first/503", "short", "silent", "drip", "drip-headers"}
    paths = set(WITHIN) - {"to/loop", "fine"}
    assert {path for path in paths if asked[path] == 2} == again
    assert {path for path in paths if asked[path] == 1} == paths - again


@given(st.text(), st.sampled_from(["failed_to_download", "failed_to_resize"]))
def test_a_servers_words_never_become_a_reason(message: str, status: str) -> None:
    assert kind_of_row(status, message) in KINDS


@pytest.mark.slow
def test_parts_fetched_side_by_side_keep_the_rules_and_the_result(home: Home) -> None:
    with serving() as outer, serving() as inner:
        outer.targets = {"inner": inner.url("x")}
        paths = ["fine", "html", "first/503", "to/inner", "status/404", "small"]
        found = fetch(
            home,
            [outer.url(path) for path in paths],
            allow_private=(outer.place,),
            processes=2,
            retries=1,
        )
    failures = {path: found[outer.url(path)][0] for path in paths}
    assert failures == {
        "fine": None,
        "html": "not an image",
        "first/503": None,
        "to/inner": "refused address",
        "status/404": "http 404",
        "small": None,
    }
    assert not inner.asked


# ---------------------------------------------------------------- what is kept


@pytest.mark.slow
def test_images_keep_their_shape_unless_the_authors_border_is_asked_for(
    tmp_path: Path,
) -> None:
    with serving() as server:
        urls = [server.url("fine"), server.url("small")]
        kept = fetch(Home(tmp_path / "a"), urls, allow_private=(server.place,))
        padded = fetch(
            Home(tmp_path / "b"), urls, allow_private=(server.place,), resize_mode="border"
        )
    fine, small = (kept[url][1] for url in urls)
    assert fine is not None and small is not None  # noqa: PT018
    assert fine.size == (32, 10)
    assert small.size == (10, 10)
    assert not white(fine).any()
    fine, small = (padded[url][1] for url in urls)
    assert fine is not None and small is not None  # noqa: PT018
    assert fine.size == small.size == (32, 32)
    assert white(fine)[:11].all()
    assert white(fine)[-11:].all()
    assert not white(fine)[11:-11].any()
    assert not white(small).any()


def white(image: Image.Image) -> Any:
    """Which pixels are, bool ``[h, w]``."""
    return (np.asarray(image) == 255).all(axis=2)


@pytest.mark.slow
def test_an_outage_is_not_a_result_and_the_next_attempt_continues(home: Home) -> None:
    with serving() as server:
        pass
    urls = [server.url("a"), server.url("b")]
    options: Json = {"allow_private": (server.place,)}
    with pytest.raises(BenchError, match=r"no image could be .* refused.*network"):
        fetch(home, urls, **options)
    with serving(server.server_port):
        found = fetch(home, urls, **options)
    assert [failure for failure, _ in found.values()] == [None, None]


@pytest.mark.slow
def test_a_pool_whose_links_are_all_dead_leaves_nothing_and_says_so(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    task = ColourTask(
        **{
            **{name: getattr(colour_task(), name) for name in colour_task().__struct_fields__},
            "class_names": ("rose", "lily", "MD-11"),
        }
    )
    with serving() as server:
        pool = pool_of(tmp_path / "pool", [server.url(f"status/410?{i}") for i in range(3)])
        options = options_of(
            "retrieved", pool=str(pool.root), filter__model=str(tiny_clip), image_size=32,
            suffix=".png", allow_private=[server.place],
        )  # fmt: skip
        images = source_of("retrieved", options).collect(with_clip(home, task))
    yields = images.manifest.stage_counts
    assert len(images) == 0
    assert (yields["matched"], yields["fetched"], yields["failed"]) == (3, 0, {"http 410": 3})
    nothing = {"matched": 0, "fetched": 0, "decodable": 0, "kept": 0, "failed": {}}
    assert yields["classes"] == {
        "rose": {**nothing, "matched": 3, "failed": {"http 410": 3}},
        "lily": nothing,
        "MD-11": nothing,
    }
    with pytest.raises(RequestError, match="has 0"):
        images.select(1, 0, "random")


def with_clip(home: Home, task: Task) -> Context:
    from adapt.models import ClipEmbedder, load_clip

    return Context(
        home, task, None, 0, lambda name: ClipEmbedder(load_clip(Path(name))), Progress(quiet=True)
    )


@pytest.mark.slow
def test_yields_add_up_class_by_class(web: Web, tiny_clip: Path, home: Home) -> None:
    options = options_of(
        "retrieved", pool=str(web.pool), filter__model=str(tiny_clip), tau=-1, image_size=32,
        suffix=".png", retries=0, allow_private=[web.host],
    )  # fmt: skip
    images = source_of("retrieved", options).collect(with_clip(home, find_task("mini-aircraft")))
    yields = images.manifest.stage_counts
    classes = yields["classes"].values()
    for step in ("matched", "fetched", "decodable", "kept"):
        assert sum(counts[step] for counts in classes) == yields[step] > 0
    for counts in classes:
        assert counts["matched"] - sum(counts["failed"].values()) == counts["fetched"]
        assert counts["fetched"] >= counts["decodable"] >= counts["kept"]
    failed: Counter[str] = Counter()
    for counts in classes:
        failed.update(counts["failed"])
    assert failed == yields["failed"]
    kept = {name: counts["kept"] for name, counts in yields["classes"].items()}
    assert kept == images.manifest.counts


# ---------------------------------------------------------------- proxies


class Proxy(BaseHTTPRequestHandler):
    """A proxy that has an image for everything, and notes what it was asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PNG)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_a_proxy_is_used_and_said_and_gets_no_private_address_in_numbers(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy, serving() as server:
        Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        far = "http://images.invalid/1.png"
        private = ["http://127.0.0.1:9/a", "http://2130706433/b", "http://%31%32%37.0.0.1/c"]
        urls = [far, *private, server.url("own")]
        said = Said()
        found = fetch(home, urls, said, allow_private=(server.place,))
        proxy.shutdown()
    assert found[far][0] is None
    assert [found[url][0] for url in private] == ["refused address"] * 3
    assert Proxy.asked == [far]
    assert server.asked["own"] == 1
    assert "through the environment's proxy" in said.text


# ---------------------------------------------------------------- preflight


def test_hours_are_those_of_the_sample_or_fewer_with_more_threads() -> None:
    measured = {"sample": 100, "fetched": 70, "seconds": 18.0, "threads": 10}
    expected = forecast(measured, 1_000_000, 40)
    assert (expected["hours_low"], expected["hours_high"]) == (12.5, 50)
    fewer = forecast(measured, 1_000_000, 5)
    assert (fewer["hours_low"], fewer["hours_high"]) == (50, 50)


@pytest.mark.slow
def test_a_long_list_is_sampled_once_and_its_yield_predicted(home: Home) -> None:
    said = Said()
    with serving() as server:
        urls = [server.url(f"{'fine' if i % 2 else 'status/404'}?{i}") for i in range(80)]
        options: Json = {"allow_private": (server.place,), "preflight": 8, "timeout_s": 60}
        found = fetch(home, urls, said, **options)
        asked = server.asked.total()
        (folder,) = home.data.glob("preflight-*")
        for stage in home.data.glob("download-*"):
            (stage / "done.json").unlink()
        fetch(home, urls, said, **options)
        assert server.asked.total() == asked == 88
    assert sum(failure is None for failure, _ in found.values()) == 40
    noted = msgspec.json.decode((folder / "done.json").read_bytes())["info"]
    assert noted["sample"] == 8
    assert noted["fetched"] + noted["failed"]["http 404"] == 8
    low, high = wilson(noted["fetched"], 8)
    assert (noted["share_low"], noted["share_high"]) == (round(low, 4), round(high, 4))
    assert f"preflight: {noted['fetched']} of 8 images could be fetched; expect" in said.text
    assert re.search(r"after about [\d.,]+( \w+)?( to [\d.,]+)? (s|min) with one worker", said.text)


@pytest.mark.slow
def test_a_preflight_that_brings_nothing_stops_before_the_download(home: Home) -> None:
    with serving() as server:
        urls = [server.url(f"status/403?{i}") for i in range(50)]
        options: Json = {"allow_private": (server.place,), "preflight": 5, "timeout_s": 60}
        with pytest.raises(BenchError, match=r"none of a sample of 5 .*: 5 http 403; check"):
            fetch(home, urls, **options)
        assert server.asked.total() == 5
        assert not list(home.data.glob("download-*"))
        found = fetch(home, urls, **{**options, "preflight": 0})
        assert {failure for failure, _ in found.values()} == {"http 403"}


# ---------------------------------------------------------------- kills


@pytest.mark.slow
def test_workers_killed_at_random_leave_each_image_once(
    web: Web, preset: Path, tiny_clip: Path, home: Home, tmp_path: Path
) -> None:
    chance = random.Random(0)
    settings = {
        "pool": web.pool, "download.shard_size": 60, "download.retries": 0,
        "download.allow_private": f"[{web.host!r}]",
    }  # fmt: skip
    words = ["build", "--source", "retrieved", "--task", "mini-aircraft", "--preset", str(preset)]
    for name, value in settings.items():
        words += ["--set", f"source.{name}={value}"]
    calm = undisturbed(web, Home(tmp_path / "calm"))

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command(*words), env=environment(home.root), stderr=subprocess.DEVNULL
        )

    workers, killed = [start() for _ in range(3)], 0
    while killed < 3 and any(worker.poll() is None for worker in workers):
        # From the first shard on, so that a kill falls into the work and not into its imports.
        if list(home.data.glob("download-*/.0*-*")):
            time.sleep(chance.uniform(0, 2))
            victim = chance.randrange(3)
            if workers[victim].poll() is None:
                workers[victim].send_signal(signal.SIGKILL)
                killed += workers[victim].wait() == -signal.SIGKILL
                workers[victim] = start()
        time.sleep(0.1)
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert killed >= 2
    stage = home.data / calm.key
    assert not list(stage.glob(".0*-*"))
    keys = pl.read_parquet(stage / "*/index.parquet")["key"].to_list()
    assert len(keys) == len(set(keys)) > 100
    for shard in calm.shards():
        for name in ("images.tar", "index.parquet"):
            assert (stage / shard.name / name).read_bytes() == (shard / name).read_bytes()
    assert_gone(home.root)


def undisturbed(web: Web, home: Home) -> Stage:
    given = context(home, find_task("mini-aircraft"))
    pool = Pool(str(web.pool), web.pool)
    options = DownloadOptions(
        image_size=32, suffix=".png", shard_size=60, retries=0, allow_private=(web.host,)
    )
    return download(pool, scan(pool, given.task, given), options, given)


def assert_gone(root: Path) -> None:
    """Make sure that no process that fetches for a home is left, soon after its parent is gone."""
    for _ in range(100):
        if not fetching(root):
            return
        time.sleep(0.1)
    raise AssertionError(fetching(root))


def fetching(root: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = entry.read_bytes().decode(errors="replace")
            if "sources.download.worker" in words and str(root) in words:
                found.append(words)
    return found


@pytest.mark.slow
def test_a_killed_worker_takes_its_fetching_along(home: Home, preset: Path) -> None:
    with serving() as server:
        task = find_task("mini-aircraft")
        urls = [server.url(f"drip?{i}") for i in range(9)]
        pool = pool_of(home.root / "pool", urls, task.class_names[0])
        words = ["build", "--source", "retrieved", "--task", task.name]
        for setting in (f"pool={pool.root}", f"download.allow_private=[{server.place!r}]"):
            words += ["--set", f"source.{setting}"]
        process = subprocess.Popen(
            command(*words, "--preset", str(preset)), env=environment(home.root)
        )
        while not server.asked:
            assert process.poll() is None
            time.sleep(0.1)
        assert fetching(home.root)
        process.kill()
        process.wait()
        assert_gone(home.root)
