"""A web server with the worst of responses, named by the URL's path; and a download from it."""

import io
import ssl
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.storage.image_codec import ImageFormat, decode, encode
from bench.storage.tar_shards import read_bytes
from sources.download.download import download
from sources.download.options import DownloadOptions
from sources.pool.scan import candidates, scan
from tests.support.pools import context, flowers, write_pool

HOSTILE = "<script>" + "x" * 500
JPEG = encode(
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)), ".jpg"
)
PNG = encode(Image.new("RGB", (64, 20), "red"), ".png")


def noise(seed: int) -> bytes:
    """A picture like no other."""
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return encode(Image.fromarray(pixels).resize((64, 64)), ".png")


def bomb_header() -> bytes:
    """A PNG that claims ten thousand million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 6, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header))
    return PNG[:8] + struct.pack(">I", 13) + header + crc + PNG[33:]


def scan_bomb() -> bytes:
    """A JPEG whose last scan is repeated a hundred times, each to be decoded in full."""
    stream = io.BytesIO()
    Image.new("L", (64, 64), 128).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    start = whole.rindex(b"\xff\xda")
    return whole[:start] + whole[start:-2] * 100 + whole[-2:]


def large_rgba() -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", (3001, 3000)).save(stream, "PNG", compress_level=1)
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
    "claim": bomb_header(),
    "see-through": large_rgba(),
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


class HostileServer(ThreadingHTTPServer):
    """Counts requests by path; ``/to/NAME`` redirects to ``targets[NAME]``.

    ``/noise/SEED`` is a picture of its own, or 503 while the server is ``down``.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.requests: Counter[str] = Counter()
        self.targets: dict[str, str] = {}
        self.closing = Event()
        self.down = False

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.endpoint}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server: HostileServer

    def do_GET(self) -> None:
        name = self.path.strip("/").partition("?")[0]
        self.server.requests[name] += 1
        with suppress(OSError):
            self.respond(name)

    def respond(self, name: str) -> None:
        word, _, more = name.partition("/")
        if word == "status" or (word == "first" and self.server.requests[name] == 1):
            self.wfile.write(f"HTTP/1.1 {more} {HOSTILE}\r\n\r\n".encode())
        elif word == "noise":
            status = 503 if self.server.down else 200
            self.reply(noise(int(more)), status=status)
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


@contextmanager
def serving(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    with HostileServer(port) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()


ROSES = flowers("rose", "lily", "MD-11")
ONCE: Json = {"retries": 0}
SMALL = ImageFormat(size=32, suffix=".png")


def fetch(
    home: Home,
    urls: Sequence[str],
    log: io.StringIO | None = None,
    images: ImageFormat = SMALL,
    **options: Any,
) -> dict[str, tuple[str | None, Image.Image | None]]:
    """Return URL to how its download failed, and the image."""
    given = context(home, ROSES, progress=Progress(log or io.StringIO()))
    pool = write_pool(home.root / "pool", [(url, "a rose", "UNLIKELY") for url in urls])
    scanned = scan(pool, ROSES, given)
    asked = DownloadOptions(**{**ONCE, "timeout_s": 2, **options})
    attempts = download(pool, scanned, asked, images, given)
    outcomes: dict[str, tuple[str | None, Image.Image | None]] = {}
    for folder in (shard for attempt in attempts for shard in attempt.shards()):
        rows = pl.read_parquet(folder / "index.parquet").join(candidates(scanned), on="key")
        for row in rows.iter_rows(named=True):
            image = None
            if row["offset"] is not None:
                image = decode(read_bytes(folder / "images.tar", row["offset"], row["size"]))
            outcomes[row["url"]] = (row["failure"], image)
    return outcomes
