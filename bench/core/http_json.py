"""Asking a server for JSON over HTTP: bounded in time, size and tries, and nothing is trusted."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import msgspec

from bench.core.errors import BenchError, RequestError
from bench.core.json_values import Json

MAX_BYTES = 2**26
"""Bytes of one answer: 64 KiB for each of a thousand images, where LAION's have half of one."""

MAX_WAIT_S = 60
"""Seconds between two tries at most, whatever a server asks for by ``Retry-After``."""


@dataclass(frozen=True)
class Bounds:
    """How much of a server is borne with.

    Attributes:
        silence_s: Seconds it may be silent: one that reads its index from a disk takes some.
        deadline_s: Seconds for the body of one answer.
        max_bytes: Bytes of one answer.
        tries: A request is made so often while its failure may pass, one, two, four ... seconds
            apart, or as long as the server asks.
    """

    silence_s: float = 60
    deadline_s: float = 300
    max_bytes: int = MAX_BYTES
    tries: int = 3


class NoAnswerError(BenchError):
    """A request without an answer that can be read.

    Args:
        url: Where it went.
        problem: Why, in our own words.
        status: The server's status, where that is why.
    """

    def __init__(self, url: str, problem: str, status: int | None) -> None:
        super().__init__(
            f"{url}: {problem}", "look at the server's log; the same command continues"
        )
        self.status = status


class _UnfitAnswerError(Exception):
    """An answer that is not read; the message says why."""


def server_address(url: str, option: str) -> str:
    """Return a server's address without a slash at its end.

    Args:
        url: What a user gave.
        option: The option's name, for the error.

    Raises:
        RequestError: If it is no address.
    """
    wrong = RequestError(
        f"{option}={url!r} is no address of a server", "write it as http://HOST:PORT"
    )
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        httpx.URL(url).host.encode("idna")
    except (ValueError, httpx.InvalidURL):
        raise wrong from None
    if not complete or parts.query or parts.fragment or "@" in parts.netloc:
        raise wrong
    return url.rstrip("/")


@contextmanager
def client(bounds: Bounds = Bounds(), key: str = "") -> Iterator[httpx.Client]:
    """Yield a client that keeps its connections for as long as the block lasts.

    Args:
        bounds: How long a server may be silent.
        key: Sent as the bearer token, and to no other host than the one that is asked; "" for none.
    """
    headers = {"Accept-Encoding": "identity"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    # A proxy that the environment names would see the key, and cannot reach this machine's servers.
    with httpx.Client(timeout=bounds.silence_s, headers=headers, trust_env=False) as running:
        yield running


def ask(
    asking: httpx.Client, url: str, question: Json | None = None, bounds: Bounds = Bounds()
) -> object:
    """Return the JSON that a server answers, tried again while that may help.

    Args:
        asking: A `client`.
        url: Where to ask.
        question: What to send; None to get what is there.
        bounds: How much of the server is borne with.

    Raises:
        NoAnswerError: If there is no answer, or one that is too large, too slow or no JSON. It says
            nothing in the server's own words.
    """
    problem, status = "not asked", None
    for attempt in range(bounds.tries):
        wait, status = float(2**attempt), None
        try:
            return _decoded(_body(asking, url, question, bounds))
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            problem, passes = f"status {status}", status in (408, 429) or status >= 500
            wait = max(wait, _asked_wait(error.response))
        except httpx.HTTPError as error:
            problem, passes = type(error).__name__, True
        except _UnfitAnswerError as error:
            problem, passes = str(error), False
        if not passes or attempt + 1 == bounds.tries:
            break
        time.sleep(min(wait, MAX_WAIT_S))
    raise NoAnswerError(url, problem, status)


def _asked_wait(answer: httpx.Response) -> float:
    """Return the seconds that a server asks to be left alone for; 0 if it does not say."""
    try:
        seconds = float(answer.headers.get("Retry-After", "0"))
    except ValueError:  # It may also be a date; our own pace serves as well.
        return 0
    return seconds if math.isfinite(seconds) else 0


def _body(asking: httpx.Client, url: str, question: Json | None, bounds: Bounds) -> bytes:
    end = time.monotonic() + bounds.deadline_s
    body = bytearray()
    method = "GET" if question is None else "POST"
    with asking.stream(method, url, json=question) as answer:
        answer.raise_for_status()
        # Raw: a compressed answer was not asked for, and may be of any size when unpacked.
        for piece in answer.iter_raw():
            body += piece
            if len(body) > bounds.max_bytes:
                raise _UnfitAnswerError(f"more than {bounds.max_bytes >> 20} MiB in one answer")
            if time.monotonic() > end:
                raise httpx.ReadTimeout("the body took too long")
    return bytes(body)


def _decoded(body: bytes) -> object:
    try:
        # As Python writes it: a value that is missing in a table may be NaN.
        found = json.loads(body, parse_constant=lambda _: None)
        msgspec.json.encode(found)  # Refuses half a surrogate pair, which is no text.
    except (ValueError, RecursionError) as error:
        raise _UnfitAnswerError("an answer that is no JSON") from error
    return found
