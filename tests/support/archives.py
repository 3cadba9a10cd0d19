"""A server of archives on loopback, which may be slow, break off, or send other bytes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Archives:
    """What is served, and how badly.

    Attributes:
        files: Name to content.
        cut: Names of files whose connection ends half-way, once each.
        pause: Seconds between pieces.
        asked: Of every request, the name and the first byte that was asked for.
        url: The server's address.
    """

    files: dict[str, bytes]
    cut: set[str] = field(default_factory=set)
    pause: float = 0.0
    asked: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    archives: Archives

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        # Torchvision says so in a header when it looks for redirections.
        self._answer(body=self.headers.get("Method") != "HEAD")

    def _answer(self, *, body: bool) -> None:
        name = self.path.rpartition("/")[2]
        content = self.archives.files.get(name)
        if content is None:
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            self.archives.asked.append((name, start))
            self._send(name, content[start:])

    def _send(self, name: str, content: bytes) -> None:
        if name in self.archives.cut:
            self.archives.cut.discard(name)
            content = content[: len(content) // 2]
            self.close_connection = True
        for at in range(0, len(content), 1024):
            self.wfile.write(content[at : at + 1024])
            time.sleep(self.archives.pause)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Archives]:
    """Serve some files."""
    archives = Archives(files)
    handler = type("Handler", (_Handler,), {"archives": archives})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        archives.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield archives
        server.shutdown()
