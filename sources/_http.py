"""Asking a server for JSON over HTTP: bounded in time, size and tries, and nothing is trusted."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import msgspec

from bench.errors import BenchError
from bench.types import Json

MAX_BYTES = 2**26
"""Bytes of one answer: 64 KiB for each of a thousand images, where LAION's have half of one."""
SILENCE_S = 60
"""Seconds a server may be silent: one that reads its index from a disk takes some."""
DEADLINE_S = 300
"""Seconds for the body of one answer."""
TRIES = 3
"""A request is made so often, one and two seconds apart, while its failure may pass."""


class _UnfitAnswerError(Exception):
    """An answer that is not read; the message says why."""


@contextmanager
def client() -> Iterator[httpx.Client]:
    """Yield a client that keeps its connection for as long as the block lasts."""
    with httpx.Client(timeout=SILENCE_S, headers={"Accept-Encoding": "identity"}) as running:
        yield running


def ask(asking: httpx.Client, url: str, question: Json | None = None) -> object:
    """Return the JSON that a server answers, tried again while that may help.

    Args:
        asking: A `client`.
        url: Where to ask.
        question: What to send; None to get what is there.

    Raises:
        BenchError: If there is no answer, or one that is too large, too slow or no JSON. It says
            nothing in the server's own words.
    """
    problem = ""
    for attempt in range(TRIES):
        try:
            return _decoded(_body(asking, url, question))
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            problem, passes = f"status {status}", status == 429 or status >= 500
        except httpx.HTTPError as error:
            problem, passes = type(error).__name__, True
        except _UnfitAnswerError as error:
            problem, passes = str(error), False
        if not passes:
            break
        if attempt + 1 < TRIES:
            time.sleep(2**attempt)
    raise BenchError(f"{url}: {problem}", "look at the server's log; the same command continues")


def _body(asking: httpx.Client, url: str, question: Json | None) -> bytes:
    end = time.monotonic() + DEADLINE_S
    body = bytearray()
    method = "GET" if question is None else "POST"
    with asking.stream(method, url, json=question) as answer:
        answer.raise_for_status()
        # Raw: a compressed answer was not asked for, and may be of any size when unpacked.
        for piece in answer.iter_raw():
            body += piece
            if len(body) > MAX_BYTES:
                raise _UnfitAnswerError(f"more than {MAX_BYTES >> 20} MiB in one answer")
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
