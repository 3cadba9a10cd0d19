"""Captions from a server with OpenAI's interface: vLLM, llama.cpp, TGI, `transformers serve`, …."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from httpx import Client

from bench.core.config import AboveZero, Positive
from bench.core.errors import BenchError, RequestError
from bench.core.http_json import Limits, NoResponseError, open_client, request_json, server_address
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins import writers
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder
from sources.captions.plan import seed_of
from sources.captions.prompts import first_line, prompt_for, prompts_digest
from sources.captions.sampling import Sampling

MAX_BYTES = 2**20
"""Bytes of one answer; a thousand tokens have some ten thousand."""

_PREFLIGHT_TRIES = 2
"""A server that is not there is not waited for."""


class _Message(msgspec.Struct):
    content: str | None = None
    """Nothing where a model declines, or has thought for all of its tokens."""


class _Choice(msgspec.Struct):
    text: str | None = None
    message: _Message | None = None


class _Answer(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


@writers.register("openai")
class OpenAI:
    """A language model behind HTTP, shown three examples, writes the fourth line."""

    fixed = False

    class Options(Sampling, frozen=True, kw_only=True):
        """Which server and model, and how it is asked."""

        url: str
        """The interface's address, e.g. http://127.0.0.1:8000/v1."""
        model: str
        """The model, as the server calls it."""
        endpoint: Literal["completions", "chat/completions"] = "completions"
        """Continue a text, as the paper's base model did; or answer a message."""
        key_variable: str = "OPENAI_API_KEY"
        """The environment variable that holds the key; unset or empty where none is needed."""
        concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
        """Requests under way at once."""
        timeout_s: AboveZero = 120
        """Seconds that the server may be silent, and for the body of an answer."""
        tries: Positive = 5
        """A request is made so often while its failure may pass."""

        def __post_init__(self) -> None:
            server_address(self.url, "url")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._url = f"{server_address(options.url, 'url')}/{options.endpoint}"
        self._limits = Limits(options.timeout_s, options.timeout_s, MAX_BYTES, options.tries)
        self._met = False

    def config(self, home: Home) -> Json:
        """Return the model's name and how it is asked; not where: a server may move."""
        names = ("model", "endpoint", "temperature", "top_p", "max_tokens")
        config: Json = {name: getattr(self._options, name) for name in names}
        return config | {"prompts": prompts_digest()}

    def write(self, orders: Sequence[CaptionOrder], brief: CaptionBrief) -> list[Caption]:
        """Ask for one caption per order; the first request of all is a trial."""
        with open_client(self._limits, self._key()) as client:
            if not self._met:
                self._meet(client)
            with ThreadPoolExecutor(self._options.concurrency) as pool:
                return list(pool.map(lambda order: self._caption(client, order, brief), orders))

    def _caption(self, client: Client, order: CaptionOrder, brief: CaptionBrief) -> Caption:
        plan, prompt, examples = prompt_for(order, brief)
        question = self._question(prompt, seed_of(order), self._options.max_tokens)
        text = self._text(request_json(client, self._url, question, self._limits))
        return plan.caption(first_line(text), examples)

    def _meet(self, client: Client) -> None:
        """Ask for one token, so that a wrong address, model or key ends it here.

        Raises:
            RequestError: If no token comes back.
        """
        limits = replace(self._limits, attempts=min(self._limits.attempts, _PREFLIGHT_TRIES))
        try:
            self._text(request_json(client, self._url, self._question("one, two,", 0, 1), limits))
        except NoResponseError as error:
            raise RequestError(
                f"no caption writer answers: {error.what}",
                f"the environment variable {self._options.key_variable} must hold the server's key"
                if error.status in (401, 403)
                else "start the server, or check source.captions.options.url, .model and .endpoint",
            ) from error
        except BenchError as error:
            raise RequestError(
                error.what, "check source.captions.options.url and .endpoint"
            ) from error
        self._met = True

    def _question(self, prompt: str, seed: int, max_tokens: int) -> Json:
        options = self._options
        question: Json = {"model": options.model, "max_tokens": max_tokens, "seed": seed}
        question |= {"temperature": options.temperature, "top_p": options.top_p}
        if options.endpoint == "completions":
            return question | {"prompt": prompt, "stop": "\n"}
        return question | {"messages": [{"role": "user", "content": prompt}]}

    def _text(self, answer: object) -> str:
        try:
            choice = msgspec.convert(answer, _Answer).choices[0]
        except msgspec.ValidationError as error:
            raise BenchError(
                f"{self._url} answers in another form: {error}",
                "look at the server's log; the same command continues",
            ) from error
        text = (choice.message.content or "") if choice.message else choice.text
        if text is None:
            raise BenchError(
                f"{self._url} answers without a text", "check source.captions.options.endpoint"
            )
        return text

    def _key(self) -> str:
        key = os.environ.get(self._options.key_variable, "").strip()
        if not re.fullmatch("[!-~]*", key):
            raise RequestError(
                f"the environment variable {self._options.key_variable} holds no key",
                "a key is printable ASCII without spaces",
            )
        return key
