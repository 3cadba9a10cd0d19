"""Captions by a server with OpenAI's interface."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.storage.stage import Stage
from sources.captions.table import caption_counts, caption_rows
from tests.conftest import Bench, environment
from tests.support.command_line import free_port, refusal, until
from tests.support.language_models import (
    WORDS,
    FakeServer,
    Handler,
    Reply,
    by_turns,
    by_writer,
    obliging,
    slowly,
)  # fmt: skip

KEY = "sk-a-very-secret-key"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer().running() as running:
        yield running


def by_server(home: Home, server: FakeServer, writing: Any = (), **more: Any) -> Stage:
    given = {"url": server.url, "model": "m", "timeout_s": 1, "tries": 4, **dict(writing)}
    return by_writer(home, "openai", given, **more)


def test_a_server_is_asked_as_the_paper_asks(home: Home, server: FakeServer) -> None:
    server.reply = slowly(0.02)
    found = caption_rows(by_server(home, server, {"concurrency": 3}))
    assert found.height == 24
    preflight, *asked = server.asked
    assert preflight["max_tokens"] == 1
    assert server.busiest == 3
    seeds = [question.pop("seed") for question in asked]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    sampling = {"temperature": 0.8, "top_p": 0.9, "max_tokens": 100}
    for question in asked:
        prompt = question.pop("prompt")
        assert question == {"model": "m", "stop": "\n", **sampling}
        assert prompt.count("=>") == 4
        assert prompt.endswith(" =>")
    assert found["caption"].str.contains("of mood").all()
    assert not found["caption"].str.contains("second line").any()
    assert set(server.keys) == {None}


def refusals(stage: Stage) -> set[str]:
    return {why for kind in caption_counts([stage]).values() for why in kind["refused"]}


def test_a_chat_is_asked_in_a_message(home: Home, server: FakeServer) -> None:
    def chat(handler: Handler, question: dict[str, Any]) -> None:
        prompt = question["messages"][0]["content"]
        subject = prompt.splitlines()[-1].partition(" =>")[0].partition(",")[0]
        text = f"\n\na {subject} {question['seed']}\n"
        handler.send(json.dumps({"choices": [{"message": {"content": text}}]}).encode())

    silent = always(b'{"choices": [{"message": {"content": null}}]}')
    server.reply = by_turns(silent, chat)
    stage = by_server(home, server, {"endpoint": "chat/completions", "concurrency": 1})
    found = caption_rows(stage)
    assert found.height == found["caption"].n_unique() == 24
    assert refusals(stage) == {"empty"}


def always(body: bytes, status: int = 200, **headers: str) -> Reply:
    return lambda handler, _: handler.send(body, status, **headers)


def drip(handler: Handler, _: object) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _piece in range(6):
        handler.wfile.write(b" ")
        time.sleep(0.25)


PASSING = {
    "status 429": always(b"", 429, Retry_After="1"),
    "status 500": always(b"<html>", 500),
    "a dropped connection": lambda handler, _: handler.drop(),
    "a stall": lambda handler, _: time.sleep(1),
    "an answer that drips": drip,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_costs_time_alone(
    home: Home, tmp_path: Path, server: FakeServer, fault: Any
) -> None:
    one_shard = {"shard_size": 24, "retries": 1}
    calm = caption_rows(by_server(home, server, **one_shard))
    server.reply = by_turns(*[obliging] * 9, fault)
    impatient = {"concurrency": 24, "timeout_s": 0.5}
    shaken = by_server(Home(tmp_path / "shaken"), server, impatient, **one_shard)
    assert caption_rows(shaken).equals(calm)


def test_a_server_that_asks_for_patience_gets_it(home: Home, server: FakeServer) -> None:
    server.reply = by_turns(obliging, always(b"", 429, Retry_After="2"), obliging)
    began = time.monotonic()
    by_server(home, server, block_size=1, retries=0)
    assert 2 <= time.monotonic() - began < 10


LYING = {
    "no JSON": (b"<html>busy</html>", "not JSON"),
    "half an answer": (b'{"choices": [{"te', "not JSON"),
    "deep JSON": (b"[" * 100_000, "not JSON"),
    "half a character": (b'{"choices": [{"text": "\\ud800"}]}', "not JSON"),
    "no object": (b"[]", "in another form"),
    "no choice": (b'{"choices": []}', "in another form"),
    "no text": (b'{"choices": [{}]}', "without a text"),
    "a number for a text": (b'{"choices": [{"text": 5}]}', "in another form"),
    "an error in an answer": (b'{"error": "\\u001b[31m", "choices": "\\u001b"}', "in another form"),
    "a huge answer": (b'{"choices": [{"text": "' + b"x" * 2_000_000 + b'"}]}', "more than 1 MiB"),
}


@pytest.mark.parametrize(("body", "complaint"), LYING.values(), ids=LYING)
def test_a_lie_ends_in_one_line(
    home: Home, server: FakeServer, body: bytes, complaint: str
) -> None:
    server.reply = by_turns(*[obliging] * 12, always(body))
    with pytest.raises(BenchError, match=complaint) as error:
        by_server(home, server)
    assert not isinstance(error.value, RequestError)
    assert "the same command continues" in str(error.value) or "endpoint" in str(error.value)
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()
    server.reply = always(body)
    with pytest.raises(RequestError):  # At the preflight, it is the request that is wrong.
        by_server(home, server, seed=1)


def test_what_a_server_says_is_checked_like_anything_else(home: Home, server: FakeServer) -> None:
    odd = ["", "a thing", "circle square star " * 30, "star square circle \x1b[0m"]

    def reply(handler: Handler, question: dict[str, Any]) -> None:
        turn = question["seed"] % 7
        handler.say(odd[turn]) if turn < len(odd) else obliging(handler, question)

    server.reply = reply
    stage = by_server(home, server, block_size=60, retries=8)
    assert {"empty", "class unnamed", "too long", "not one printable line"} <= refusals(stage)
    assert caption_rows(stage)["caption"].str.contains("of mood").all()


def test_a_dead_server_is_replaced(home: Home, tmp_path: Path, server: FakeServer) -> None:
    calm = by_server(Home(tmp_path / "calm"), server, retries=2)
    server.reply = by_turns(*[obliging] * 15, *[lambda handler, _: handler.drop()] * 10_000)
    with pytest.raises(BenchError, match="RemoteProtocolError; look at the server's log; the same"):
        by_server(home, server, {"tries": 2}, retries=2)
    with FakeServer().running() as other:
        stage = by_server(home, other, {"concurrency": 1}, retries=2)
        first_shard = caption_rows(stage).head(10)
        again = sum(row["attempt"] + 1 for row in first_shard.iter_rows(named=True))
        assert len(other.asked) <= 1 + 14 + again  # Its preflight, two shards, the copies.
    assert caption_rows(stage).equals(caption_rows(calm))


def refused(bench: Bench, home: Home, url: str, *more: str, begun: bool = True) -> str:
    settings = [f"options.url={url}", "options.model=m", *(f"options.{each}" for each in more)]
    given = (f"captions.{setting}" for setting in ("writer=openai", *settings))
    return refusal(bench, home, "synthetic", *given, begun=begun)


def test_what_no_server_can_meet_ends_at_once(bench: Bench, home: Home, server: FakeServer) -> None:
    complaint = refused(bench, home, f"http://127.0.0.1:{free_port()}/v1")
    assert "no caption writer answers: " in complaint
    assert "start the server" in complaint
    server.reply = always(b"", 404)
    complaint = refused(bench, home, server.url)
    assert "/v1/completions: status 404; start the server, or check" in complaint


@pytest.mark.parametrize(
    "url",
    ["ftp://host", "host:80", "http://", "http://u:p@host", "http://:p@host", "http://a\nb",
     "http://a..b/v1"],
)  # fmt: skip
def test_an_address_that_is_none_ends_before_any_work(bench: Bench, home: Home, url: str) -> None:
    complaint = refused(bench, home, json.dumps(url), begun=False)
    assert "is not the address of a server; write it as http://HOST:PORT" in complaint


def test_the_key_comes_from_the_environment_and_goes_to_the_server_alone(
    bench: Bench, home: Home, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guarded(handler: Handler, _: dict[str, Any]) -> None:
        handler.send(b"", 500 if handler.headers["Authorization"] == f"Bearer {KEY}" else 401)

    def complaint() -> str:
        return refused(bench, home, server.url, "key_variable=MY_KEY", "tries=1")

    server.reply = guarded
    assert "status 401; the environment variable MY_KEY must hold" in complaint()
    monkeypatch.setenv("MY_KEY", KEY)
    answered = complaint()
    assert "status 500" in answered
    assert server.keys[-1] == f"Bearer {KEY}"
    with FakeServer().running() as elsewhere:
        server.reply = always(b"", 307, Location=elsewhere.url)
        complaint()
        monkeypatch.setenv("http_proxy", elsewhere.url)
        monkeypatch.setenv("no_proxy", "")
        complaint()
        assert not elsewhere.asked
    monkeypatch.setenv("MY_KEY", f"{KEY}\nX-Injected: 1")
    unfit = complaint()
    assert "the environment variable MY_KEY holds no key" in unfit
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in answered + unfit


WORKER = """
import sys
from pathlib import Path
from bench.core.paths import Home
from tests.support.language_models import FakeServer
from tests.sources.captions.test_openai import by_server
home, url, concurrency = sys.argv[1:]
server = FakeServer(url=url)
by_server(Home(Path(home)), server, {"concurrency": int(concurrency)}, block_size=80)
"""


def worker(home: Home, server: FakeServer, concurrency: int) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-c", WORKER, str(home.root), server.url, str(concurrency)]
    return subprocess.Popen(words, env=environment(home.root), stderr=subprocess.PIPE)


def test_killed_workers_change_no_caption(home: Home, tmp_path: Path, server: FakeServer) -> None:
    calm = caption_rows(by_server(Home(tmp_path / "calm"), server, block_size=80))
    server.reply = slowly(0.03)
    rng = random.Random(0)
    for concurrency in (1, 2):
        workers = [worker(home, server, concurrency) for _ in range(concurrency)]
        already = len(server.asked)
        while len(server.asked) < already + 15:  # They are at work.
            assert any(one.poll() is None for one in workers), workers[0].communicate()
            time.sleep(0.02)
        time.sleep(rng.random() / 4)
        for one in workers:
            one.send_signal(signal.SIGKILL)
            one.communicate()
    last = worker(home, server, 8)
    assert last.wait() == 0, last.communicate()
    stage = by_server(home, server, block_size=80)
    found = caption_rows(stage)
    assert found.equals(calm)
    assert found["key"].n_unique() == found.height == 80
    assert not list(home.data.rglob(".0*-*"))  # Nothing of the dead is left.


SERVING = ("fastapi", "uvicorn", "openai", "pydantic", "rich")
missing = [name for name in SERVING if importlib.util.find_spec(name) is None]


@pytest.mark.skipif(bool(missing), reason=f"transformers[serving] is not installed: {missing}")
def test_transformers_serve_writes_captions(home: Home, tmp_path: Path, tiny_llm: Path) -> None:
    port = str(free_port())
    words = ["-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1", "--port", port]
    log = tmp_path / "serve.log"
    settings = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as stream:
        running = subprocess.Popen(
            [sys.executable, *words], env=os.environ | settings, stdout=stream, stderr=stream
        )

    def responds() -> bool:
        assert running.poll() is None, log.read_text()
        with suppress(httpx.HTTPError):
            return bool(httpx.get(f"http://127.0.0.1:{port}/health"))
        return False

    try:
        until(responds, seconds=120, poll=0.2)
        writing = {"model": str(tiny_llm), "max_tokens": 12, "timeout_s": 30, "concurrency": 2}
        stage = by_server(home, FakeServer(url=f"http://127.0.0.1:{port}/v1"), writing, retries=9)
    finally:
        running.terminate()
        running.wait()
    found = caption_rows(stage)
    assert found.height > 12
    assert found["caption"].n_unique() > 6
    for row in found.iter_rows(named=True):
        assert row["class_name"] in row["caption"].split()
        assert set(row["caption"].split()) <= set(WORDS)
