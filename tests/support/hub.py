"""A Hugging Face Hub on loopback: what fetching asks for, over a network that may fail."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".parquet", ".tar", ".bin")


@dataclass
class Hub:
    """What a Hub serves, and how badly.

    Attributes:
        repositories: ``models/ORG/NAME`` or ``datasets/ORG/NAME`` to the folder of its one commit.
        cut: Names of files that end half-way the first time, with the connection.
        changed: Names of files whose bytes are not those of the published checksum.
        gated: Repositories that one may not have.
        sent: Bytes sent by file name, over all requests.
        url: Its address.
        commit: What the newest revision is.
    """

    repositories: Mapping[str, Path]
    cut: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    sent: dict[str, int] = field(default_factory=dict)
    url: str = ""
    commit: str = COMMIT

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process asks this Hub."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1"}

    def listing(self, repository: str) -> dict[str, object]:
        """Return what the Hub says of a repository."""
        folder = self.repositories[repository]
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        siblings = [_sibling(path.relative_to(folder).as_posix(), path) for path in files]
        name = repository.partition("/")[2]
        return {
            "id": name,
            "sha": self.commit,
            "siblings": siblings,
            "private": False,
            "gated": False,
        }


def _sibling(name: str, path: Path) -> dict[str, object]:
    content = path.read_bytes()
    sibling: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
    if name.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
    return sibling


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        path = self.path.partition("?")[0].strip("/")
        for repository in self.hub.repositories:
            name = repository.removeprefix("models/")
            if path.startswith((f"api/{repository}", f"{name}/resolve")):
                if name.removeprefix("datasets/") in self.hub.gated:
                    self._refuse(403, "GatedRepo", f"Access to {name} is restricted")
                elif path.startswith("api/"):
                    self._send(json.dumps(self.hub.listing(repository)).encode(), body)
                else:
                    self._file(repository, path.split("/", name.count("/") + 3)[-1], body)
                return
        self._refuse(404, "RepoNotFound", "no such repository")

    def _file(self, repository: str, name: str, body: bool) -> None:
        path = self.hub.repositories[repository] / name
        if not path.is_file():
            self._refuse(404, "EntryNotFound", "no such file")
            return
        content = path.read_bytes()
        if name in self.hub.changed:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._send(content, body, name)

    def _send(self, content: bytes, body: bool, name: str = "") -> None:
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.hub.commit)
        self.end_headers()
        if not body:
            return
        rest = content[start:]
        if name in self.hub.cut:
            self.hub.cut.discard(name)
            rest = rest[: len(rest) // 2]
            self.close_connection = True
        self.wfile.write(rest)
        if name:
            self.hub.sent[name] = self.hub.sent.get(name, 0) + len(rest)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(repositories: Mapping[str, Path]) -> Iterator[Hub]:
    """Serve some folders, each as the one commit of a repository."""
    hub = Hub(repositories)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()
