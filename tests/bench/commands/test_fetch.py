"""Fetching a model's revision from a Hub, which is a real server on loopback."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.core.files import fingerprint
from bench.core.paths import Home
from sources.captions.table import caption_rows
from sources.generation.checkpoint import generator_folder
from tests.conftest import Bench, Outcome
from tests.support.language_models import by_writer, write_tiny_llm
from tests.support.tiny_pipelines import write_pipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = f"lab/tiny@{COMMIT}"


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


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder as the one revision of the one model of a Hub."""
    handler = type("TinyHub", (Hub,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_generator_s_revision_is_fetched_once_and_found_by_its_name(
    bench: Bench, bench_process: Bench, published: Path, tmp_path: Path, home: Home
) -> None:
    done = fetched(bench_process, published)
    assert done.code == 0, done.err
    folder = generator_folder(NAME, home)
    assert folder == home.weights / NAME
    assert fingerprint(folder) == fingerprint(write_pipeline("sd", tmp_path / "bare"))
    assert bench("fetch", "--model", NAME).out.startswith(f"{folder} is")


def fetched(bench_process: Bench, folder: Path) -> Outcome:
    with serving(folder) as hub:
        # As clusters have it: fetching is meant all the same.
        offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_XET": "1"}
        return bench_process("fetch", "--model", NAME, HF_ENDPOINT=hub, **offline)


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def test_a_language_model_is_fetched_with_all_that_transformers_needs(
    bench_process: Bench, tmp_path: Path, home: Home
) -> None:
    published = write_tiny_llm(tmp_path / "published", shards=len(SHARDS))
    assert {file.name for file in published.glob("*.safetensors")} == set(SHARDS)
    whole = tmp_path / "whole"
    shutil.copytree(published, whole)
    for extra in ("pytorch_model-00001-of-00002.bin", "consolidated.safetensors", "README.md"):
        (published / extra).write_bytes(b"the same again")
    (published / "original").mkdir()
    (published / "original" / "consolidated.00.pth").write_bytes(b"and again")
    for kept in ("chat_template.jinja", "merges.txt", "tokenizer.model"):
        for folder in (published, whole):
            (folder / kept).write_text("{{ messages }}")
    done = fetched(bench_process, published)
    assert done.code == 0, done.err
    assert fingerprint(home.weights / NAME) == fingerprint(whole)
    block = by_writer(home, "transformers", {"model": NAME, "max_tokens": 12}, retries=9)
    assert caption_rows(block).height


def test_weights_that_are_pickles_alone_are_refused(
    bench_process: Bench, tmp_path: Path, home: Home
) -> None:
    published = write_tiny_llm(tmp_path / "published")
    (published / "model.safetensors").rename(published / "pytorch_model.bin")
    done = fetched(bench_process, published)
    assert done.code == 2
    assert "lab/tiny has no weights as safetensors" in done.err
    assert not home.root.exists()
