"""The miniature web: a real HTTP server that renders the pool's images on request.

It runs in a separate process, so that a downloader's threads do not compete with it for one
interpreter lock, and it ends with the process that started it, however that one ends.

    with MiniWeb(folder) as web:
        url = placeholder_url.replace(PLACEHOLDER_HOST, web.host)
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from PIL import Image

from bench.core.errors import BenchError
from bench.miniworld.pool import TruthRow, check_complete, image_of, read_truth

START_SECONDS = 60.0
POLL_SECONDS = 0.05
PARENT_POLL_SECONDS = 0.5
APOLOGY = b"<!doctype html><title>Moved</title><p>This image is no longer here.</p>"


class Answer(NamedTuple):
    """What the server sends for one row."""

    status: HTTPStatus
    content_type: str
    body: bytes


def answer_for(row: TruthRow) -> Answer:
    """Return the row's image as PNG, which loses nothing, or the row's fault."""
    match row.status:
        case "ok":
            return Answer(HTTPStatus.OK, "image/png", _png(row))
        case "html":
            return Answer(HTTPStatus.OK, "text/html", APOLOGY)
        case "truncated":
            png = _png(row)
            return Answer(HTTPStatus.OK, "image/png", png[: len(png) // 2])
        case "empty":
            return Answer(HTTPStatus.OK, "image/png", b"")
        case code:
            return Answer(HTTPStatus(int(code)), "text/html", APOLOGY)


class MiniWeb:
    """The server as a context manager; `host` is "127.0.0.1:PORT" while it runs.

    Args:
        folder: A folder written by `build_pool`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.host = ""

    def __enter__(self) -> Self:
        """Start the server and wait until it listens.

        Raises:
            ValueError: The folder holds no complete pool.
            BenchError: The server ended, or did not listen within a minute.
        """
        check_complete(self._folder)
        with tempfile.TemporaryDirectory() as scratch:
            port_file = Path(scratch) / "port"
            command = [sys.executable, "-m", "bench.miniworld.server", str(self._folder)]
            command += ["--port-file", str(port_file), "--parent", str(os.getpid())]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            try:
                self.host = f"127.0.0.1:{_wait_for_port(port_file, self._process)}"
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self._stop()

    def _stop(self) -> None:
        self.host = ""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _wait_for_port(port_file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_SECONDS
    while not port_file.exists():
        if process.poll() is not None:
            what = f"the miniature web server ended with code {process.returncode}"
            raise BenchError(what, "see its traceback above")
        if time.monotonic() > deadline:
            what = f"the miniature web server did not start within {START_SECONDS:.0f} s"
            raise BenchError(what, "run again when the machine is less busy")
        time.sleep(POLL_SECONDS)
    return int(port_file.read_text(encoding="ascii"))


class _Server(ThreadingHTTPServer):
    """Answers from a table in memory; no request ever reaches the file system."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, rows: list[TruthRow]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows = {f"/{row.path}": row for row in rows}

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet about clients that hang up, which downloaders do on a timeout."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Looks up a path and sends the answer in one piece."""

    protocol_version = "HTTP/1.1"
    server: _Server
    # Buffered: headers and body leave in one packet, else Nagle's algorithm costs 40 ms each.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer one request."""
        row = self.server.rows.get(self.path.partition("?")[0])
        answer = answer_for(row) if row else Answer(HTTPStatus.NOT_FOUND, "text/html", APOLOGY)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Write no log: ten thousand lines would drown the run's own."""


def _png(row: TruthRow) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_of(row)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _end_with(parent: int) -> None:
    """End this process once its parent is gone.

    The parent's id is watched rather than a pipe: processes that the parent forks inherit a pipe
    and would keep it open after a SIGKILL.
    """
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(0)


def main() -> None:
    """Serve until the parent process ends."""
    parser = argparse.ArgumentParser(description="Serve the miniature pool's images.")
    parser.add_argument("folder", type=Path, help="a folder written by build_pool")
    parser.add_argument("--port-file", type=Path, required=True, help="where to write the port")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to end with")
    options = parser.parse_args()
    threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
    server = _Server(read_truth(options.folder))
    temporary = options.port_file.with_suffix(".tmp")
    temporary.write_text(str(server.server_port), encoding="ascii")
    temporary.replace(options.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
