"""Fetching a generator's revision from a Hub, which is a real server on loopback."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.core.files import fingerprint
from bench.core.paths import Home
from sources.generation.checkpoint import generator_folder
from tests.conftest import Bench
from tests.support.tiny_pipelines import write_pipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The two addresses that a download needs: what a revision holds, and one of its files."""

    folder: Path

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        path = self.path.partition("?")[0]
        file = self.folder / path.removeprefix(f"/lab/tiny/resolve/{COMMIT}/")
        files = {p.relative_to(self.folder).as_posix(): p for p in self.folder.rglob("*.*")}
        answers: dict[str, object] = {
            f"/api/models/lab/tiny/revision/{COMMIT}": {
                "id": "lab/tiny", "sha": COMMIT, "siblings": [{"rfilename": n} for n in files],
            },
            f"/api/models/lab/tiny/tree/{COMMIT}": [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                for name, file in files.items()
            ],
        }  # fmt: skip
        content = file.read_bytes() if file.is_file() else json.dumps(answers.get(path)).encode()
        self.send_response(200 if path in answers or file.is_file() else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A pipeline folder such as labs publish: with second copies of its weights."""
    folder = write_pipeline("sd", tmp_path / "published")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half as wide")
    (folder / "whole.safetensors").write_bytes(b"all in one file")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    return folder


@pytest.fixture
def hub(published: Path) -> Iterator[str]:
    handler = type("TinyHub", (Hub,), {"folder": published})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_generator_s_revision_is_fetched_once_and_found_by_its_name(
    bench: Bench, bench_process: Bench, hub: str, tmp_path: Path, home: Home
) -> None:
    name = f"lab/tiny@{COMMIT}"
    done = bench_process("fetch", "--model", name, HF_ENDPOINT=hub, HF_HUB_DISABLE_XET="1")
    assert done.code == 0, done.err
    folder = generator_folder(name, home)
    assert folder == home.weights / name
    assert fingerprint(folder) == fingerprint(write_pipeline("sd", tmp_path / "bare"))
    assert bench("fetch", "--model", name).out.startswith(f"{folder} is")
