"""Request JSON over HTTP, with limits on time, size and attempts; no response is trusted."""

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
"""Bytes of one response: 64 KiB for each of a thousand images; LAION's take half of one."""

MAX_WAIT_S = 60
"""Most seconds between two attempts, whatever a server asks for with ``Retry-After``."""


@dataclass(frozen=True)
class Limits:
    """The limits of one request.

    Attributes:
        silence_s: Seconds a server may be silent: one that reads its index from a disk takes some.
        deadline_s: Seconds for the body of one response.
        max_bytes: Bytes of one response.
        attempts: Attempts while the failure is transient. They are one, two, four ... seconds
            apart, or as many as the server asks for.
    """

    silence_s: float = 60
    deadline_s: float = 300
    max_bytes: int = MAX_BYTES
    attempts: int = 3


class NoResponseError(BenchError):
    """A request without a readable response.

    Args:
        url: The URL requested.
        problem: Why, in our own words.
        status: The server's status, if that is the reason.
    """

    def __init__(self, url: str, problem: str, status: int | None) -> None:
        super().__init__(
            f"{url}: {problem}", "look at the server's log; the same command continues"
        )
        self.status = status


class _InvalidResponseError(Exception):
    """A response that is not read; the message says why."""


def server_address(url: str, option: str) -> str:
    """Return a server's address without a slash at its end.

    Args:
        url: The address that a user gave.
        option: The option's name, for the error.

    Raises:
        RequestError: If it is not an address.
    """
    wrong = RequestError(
        f"{option}={url!r} is not the address of a server", "write it as http://HOST:PORT"
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
def open_client(limits: Limits = Limits(), key: str = "") -> Iterator[httpx.Client]:
    """Yield a client that keeps its connections until the block ends.

    Args:
        limits: How long a server may be silent.
        key: Sent as the bearer token to the requested host alone; "" for none.
    """
    headers = {"Accept-Encoding": "identity"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    # A proxy of the environment would see the key, and cannot reach this machine's servers.
    with httpx.Client(timeout=limits.silence_s, headers=headers, trust_env=False) as client:
        yield client


def request_json(
    client: httpx.Client, url: str, payload: Json | None = None, limits: Limits = Limits()
) -> object:
    """Return the JSON that a server responds with; transient failures are retried.

    Args:
        client: An `open_client`.
        url: The URL to request.
        payload: The JSON to post; None for a GET.
        limits: The limits of the request.

    Raises:
        NoResponseError: If there is no response, or it is too large, too slow or not JSON. The
            message contains none of the server's own words.
    """
    problem, status = "not requested", None
    for attempt in range(limits.attempts):
        wait, status = float(2**attempt), None
        try:
            return _decoded(_body(client, url, payload, limits))
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            problem, transient = f"status {status}", status in (408, 429) or status >= 500
            wait = max(wait, _retry_after(error.response))
        except httpx.HTTPError as error:
            problem, transient = type(error).__name__, True
        except _InvalidResponseError as error:
            problem, transient = str(error), False
        if not transient or attempt + 1 == limits.attempts:
            break
        time.sleep(min(wait, MAX_WAIT_S))
    raise NoResponseError(url, problem, status)


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that a server asks to wait; 0 if it does not say."""
    try:
        seconds = float(response.headers.get("Retry-After", "0"))
    except ValueError:  # It may also be a date; our own pace serves as well.
        return 0
    return seconds if math.isfinite(seconds) else 0


def _body(client: httpx.Client, url: str, payload: Json | None, limits: Limits) -> bytes:
    end = time.monotonic() + limits.deadline_s
    body = bytearray()
    method = "GET" if payload is None else "POST"
    with client.stream(method, url, json=payload) as response:
        response.raise_for_status()
        # Raw: no compressed response was requested, and one may be of any size when unpacked.
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > limits.max_bytes:
                raise _InvalidResponseError(
                    f"more than {limits.max_bytes >> 20} MiB in one response"
                )
            if time.monotonic() > end:
                raise httpx.ReadTimeout("the body took too long")
    return bytes(body)


def _decoded(body: bytes) -> object:
    try:
        # As Python writes it: a value that is missing in a table may be NaN.
        value = json.loads(body, parse_constant=lambda _: None)
        msgspec.json.encode(value)  # Refuses half a surrogate pair, which is not text.
    except (ValueError, RecursionError) as error:
        raise _InvalidResponseError("a response that is not JSON") from error
    return value
