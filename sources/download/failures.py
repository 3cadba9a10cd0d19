"""Name why an image was not fetched, with a fixed set of words.

Servers choose their reason phrases, header values and certificate texts, and none of these may end
up in a record. So an error becomes a failure of a known kind where it happens.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead, InvalidURL
from urllib.error import HTTPError, URLError

import polars as pl

UNREACHED = frozenset(
    {
        "timeout",
        "connection refused",
        "connection reset",
        "no such host",
        "name lookup failed",
        "unreachable",
    }
)
"""Kinds where no server answered."""

_ANSWERED = frozenset(
    {
        "refused address",
        "bad address",
        "bad response",
        "bad redirect",
        "TLS",
        "opted out",
        "cut short",
        "too large",
        "not an image",
        "not in the pool",
        "other",
    }
)

_HTTP = frozenset(f"http {code.value}" for code in HTTPStatus)
_HTTP_CLASSES = frozenset(f"http {first}xx" for first in range(1, 10))

KINDS = UNREACHED | _ANSWERED | _HTTP | _HTTP_CLASSES
"""Every kind of failure."""

# A host that does not exist now will not exist in a minute.
_TRANSIENT = UNREACHED - {"no such host"} | {"cut short", "http 408", "http 425", "http 429"}

# Names come back, certificates are renewed, and a setting can allow an address. A server that said
# no, that the image is gone, or sent something else is not asked again.
_PASSING = _TRANSIENT | {"no such host", "refused address", "TLS", "bad response", "other"}

_OPTED_OUT = "Use of image disallowed by X-Robots-Tag directive"
"""img2dataset's message for an image whose owner opted out."""


class Failure(Exception):  # noqa: N818 (a missing image is not a defect)
    """An image was not fetched; the message is one of `KINDS`."""


def is_transient(kind: str) -> bool:
    """Return whether another request may succeed within seconds."""
    return kind in _TRANSIENT or kind.startswith("http 5")


def may_pass(kind: str) -> bool:
    """Return whether another attempt may succeed later, or with other settings."""
    return kind in _PASSING or is_transient(kind)


def kind_of_row(status: str, message: str | None) -> str | None:
    """Return the kind of one row of img2dataset's report; None for an image that was fetched."""
    if status == "success":
        return None
    if message in KINDS:
        return message
    if message == _OPTED_OUT:
        return "opted out"
    return "not an image" if status == "failed_to_resize" else "other"


def count_kinds(failures: pl.Series) -> dict[str, int]:
    """Return how often each kind occurs, the most frequent first, equally frequent ones by name."""
    kinds = failures.drop_nulls().alias("kind").value_counts(name="count")
    kinds = kinds.sort("count", "kind", descending=[True, False])
    return {str(kind): count for kind, count in kinds.iter_rows()}


@contextmanager
def errors_as_failures() -> Iterator[None]:
    """Raise network and protocol errors of the block as a `Failure`."""
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        raise Failure(_kind_of(error)) from error


# In order: the first match counts.
_KIND_OF_TYPE: tuple[tuple[type[Exception], str], ...] = (
    (URLError, "bad address"),
    (InvalidURL, "bad address"),
    (TimeoutError, "timeout"),
    (socket.gaierror, "name lookup failed"),
    (ssl.SSLError, "TLS"),
    (IncompleteRead, "cut short"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "connection reset"),
    (OSError, "unreachable"),
    (HTTPException, "bad response"),
    (ValueError, "bad address"),
)

_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def _kind_of(error: Exception) -> str:
    match error:
        case HTTPError(code=code):
            return _kind_of_status(code)
        case URLError(reason=OSError() as reason):
            return _kind_of(reason)
        case socket.gaierror(errno=code) if code in _NO_SUCH_HOST:
            return "no such host"
    return next(kind for type_, kind in _KIND_OF_TYPE if isinstance(error, type_))


def _kind_of_status(code: int) -> str:
    if 300 <= code < 400:
        return "bad redirect"
    exact = f"http {code}"
    return exact if exact in _HTTP else f"http {str(code)[0]}xx"
