"""Language models for tests: a real one that knows a few words, and a server of any temper."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.task import Task
from bench.storage.stage import Stage
from tests.support.captions import write_block

SHAPES = Task(
    name="shapes", version=1, class_names=("circle", "square", "star"), templates=("a {}",),
    domain_texts=("a shape",),
)  # fmt: skip
"""A task whose class names are words of the small model."""

# "abcdef" is what transformers tries a tokenizer with before it stops at a text.
WORDS = ["[UNK]", "[END]", "\n", "abcdef", "a", "big", "red", "blue", *SHAPES.class_names]


def write_tiny_llm(folder: Path, *, reads: int = 256, shards: int = 1) -> Path:
    """Write a Llama of random weights whose words are nearly equally likely.

    Args:
        folder: Where to.
        reads: Tokens that it can read.
        shards: Files of weights, of about equal size.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", eos_token="[END]", pad_token="[END]"
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=reads, eos_token_id=1, bos_token_id=None,
        )
    )  # fmt: skip
    # `transformers serve` samples only for a model that says so itself.
    model.generation_config.do_sample = True
    tokenizer.save_pretrained(folder)
    size = sum(weights.nbytes for weights in model.state_dict().values())
    model.save_pretrained(folder, max_shard_size=size if shards == 1 else size // shards + 600)
    return folder


Reply = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's `reply` says."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        question = json.loads(self.rfile.read(size))
        self.server.fake.answer(self, question)

    def do_GET(self) -> None:
        self.server.fake.answer(self, {})

    def log_message(self, *_: object) -> None:
        pass

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send one whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def say(self, text: str) -> None:
        """Send a completion."""
        self.send(json.dumps({"choices": [{"text": text}]}).encode())

    def drop(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: "FakeServer"

    def handle_error(self, *_: object) -> None:
        pass  # A client that gave up, or a connection that we closed.


def obliging(handler: Handler, question: dict[str, Any]) -> None:
    """Name the thing that the prompt ends with, differently for most seeds."""
    subject = question["prompt"].splitlines()[-1].partition(" =>")[0].partition(",")[0]
    handler.say(f" a {subject} of mood {question['seed'] % 200}\nand a second line")


@dataclass
class FakeServer:
    """A server that speaks OpenAI's interface as well as its `reply` does.

    Attributes:
        reply: Answers one request.
        asked: All questions so far.
        keys: All ``Authorization`` headers so far.
        busiest: The most requests that were under way at once.
    """

    reply: Reply = obliging
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    busiest: int = 0
    url: str = ""
    _busy: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def answer(self, handler: Handler, question: dict[str, Any]) -> None:
        with self._lock:
            self.asked.append(question)
            self.keys.append(handler.headers["Authorization"])
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            self.reply(handler, question)
        finally:
            with self._lock:
                self._busy -= 1

    @contextmanager
    def running(self) -> Iterator["FakeServer"]:
        """Run on a free port of loopback."""
        with _Server(("127.0.0.1", 0), Handler) as server:
            server.fake = self
            self.url = f"http://127.0.0.1:{server.server_port}/v1"
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def slowly(seconds: float, reply: Reply = obliging) -> Reply:
    """Return a reply that comes late."""

    def late(handler: Handler, question: dict[str, Any]) -> None:
        time.sleep(seconds)
        reply(handler, question)

    return late


def by_turns(*replies: Reply) -> Reply:
    """Return a reply that is another one each time; the first request is the preflight."""
    lock, turns = threading.Lock(), itertools.cycle(replies)

    def reply(handler: Handler, question: dict[str, Any]) -> None:
        with lock:
            current = next(turns)
        current(handler, question)

    return reply


def by_writer(home: Home, writer: str, options: Json, **more: Any) -> Stage:
    """Return a block of 24 captions about the shapes."""
    settings = {"block_size": 24, "shard_size": 10, **more}
    return write_block(home, SHAPES, writer=writer, options=options, **settings)
