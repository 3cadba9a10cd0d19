"""Open one image's URL with urllib, for img2dataset, within strict limits.

Only HTTP and HTTPS are spoken, also after a redirect. Only permitted addresses are contacted.
Bytes, redirects and time are limited, headers and handshake included. A proxy that the environment
names is used. It resolves names itself, so here only numeric addresses can be refused then.
"""

import http.client
import io
import socket
import ssl
import time
import urllib.request
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from sources.download.addresses import Endpoint, resolve_host
from sources.download.failures import Failure, errors_as_failures

MAX_BYTES = 32 * 2**20
"""Longest response that is read; each thread of a shard holds one."""


class FetchPolicy(NamedTuple):
    """What a request may do.

    Attributes:
        allowed: Endpoints that may be contacted though they are not public.
        deadline_s: Seconds for one image, redirects included.
    """

    allowed: frozenset[Endpoint]
    deadline_s: float


class _Deadline(NamedTuple):
    """How long one image may take.

    Attributes:
        silence_s: Seconds that a server may be silent.
        end: When the image must be complete, redirects included (`time.monotonic`).
    """

    silence_s: float
    end: float

    def remaining(self) -> float:
        """Return the seconds that may be waited now.

        Raises:
            TimeoutError: If there are none left.
        """
        seconds = min(self.silence_s, self.end - time.monotonic())
        if seconds <= 0:
            raise TimeoutError
        return seconds


class _TimedStream(io.RawIOBase):
    """A socket's stream of which no single read, however small, outlasts the deadline."""

    def __init__(self, sock: socket.socket, stream: io.RawIOBase, deadline: _Deadline) -> None:
        super().__init__()
        self._sock, self._stream, self._deadline = sock, stream, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (any writable buffer)
        self._sock.settimeout(self._deadline.remaining())
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that fails once it is longer than an image may be."""

    def __init__(
        self,
        deadline: _Deadline,
        sock: socket.socket,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedStream(sock, self.fp.detach(), deadline))

    def read(self, amt: int | None = None) -> bytes:
        if (self.length or 0) > MAX_BYTES:
            raise Failure("too large")
        with errors_as_failures():
            # Where a length is declared, http.client checks that all of it arrives.
            unknown = amt is None and self.length is None
            content = super().read(MAX_BYTES + 1 if unknown else amt)
        if len(content) > MAX_BYTES:
            raise Failure("too large")
        return content


def _connect(
    endpoint: Endpoint,
    *_: object,
    deadline: _Deadline,
    allowed: Collection[Endpoint] | None,
) -> socket.socket:
    """Connect to a host, as `socket.create_connection` does, at an address that was checked.

    Args:
        endpoint: Host and port.
        deadline: How long it may take.
        allowed: Endpoints that may be contacted though they are not public; None for a proxy, which
            may be anywhere.
    """
    if allowed is None:
        return socket.create_connection(endpoint, deadline.remaining())
    last_error: OSError = OSError()
    for family, address in resolve_host(*endpoint, allowed):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.remaining())
            sock.connect(address)
        except OSError as error:
            sock.close()
            last_error = error
        else:
            return sock
    raise last_error


class _BoundedConnection(http.client.HTTPConnection):
    def __init__(
        self,
        host: str,
        *,
        deadline: _Deadline,
        allowed: Collection[Endpoint] | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(host, **kwargs)
        self.response_class = partial(_Response, deadline)  # type: ignore[assignment]
        self._create_connection = partial(_connect, deadline=deadline, allowed=allowed)


class _BoundedTlsConnection(_BoundedConnection, http.client.HTTPSConnection):
    """The same within TLS."""


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens the URL of one image, and those that it redirects to."""

    def __init__(self, policy: FetchPolicy, deadline: _Deadline, tls: ssl.SSLContext) -> None:
        super().__init__(context=tls)  # One of its own would cost the time of an image.
        self._policy, self._deadline, self._tls = policy, deadline, tls

    def http_open(self, req: urllib.request.Request) -> Any:  # noqa: ANN401 (as urllib's)
        return self.do_open(
            _BoundedConnection,  # type: ignore[arg-type]
            req,
            deadline=self._deadline,
            allowed=self._allowed(req),
        )

    def https_open(self, req: urllib.request.Request) -> Any:  # noqa: ANN401
        return self.do_open(
            _BoundedTlsConnection,  # type: ignore[arg-type]
            req,
            context=self._tls,
            deadline=self._deadline,
            allowed=self._allowed(req),
        )

    def _allowed(self, request: urllib.request.Request) -> Collection[Endpoint] | None:
        if not (request.has_proxy() or getattr(request, "_tunnel_host", None)):
            return self._policy.allowed
        target = urlsplit(request.full_url)
        host, port = unquote(target.hostname or ""), target.port or 0
        with suppress(socket.gaierror):  # A name, which is the proxy's to look up.
            resolve_host(host, port, self._policy.allowed, socket.AI_NUMERICHOST)
        return None


class Opener(urllib.request.OpenerDirector):
    """Opens URLs within a policy.

    Args:
        policy: What a request may do.
    """

    def __init__(self, policy: FetchPolicy) -> None:
        super().__init__()
        self._policy = policy
        self._tls = ssl.create_default_context()

    def open(self, fullurl: Any, data: Any = None, timeout: float | None = None) -> Any:  # noqa: ANN401 (as urllib's)
        """Open the URL of one image; its redirects share its deadline.

        Raises:
            Failure: If it cannot be fetched.
        """
        limit = self._policy.deadline_s
        deadline = _Deadline(timeout or limit, time.monotonic() + limit)
        image_opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.UnknownHandler(),
            _Handler(self._policy, deadline, self._tls),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            image_opener.add_handler(handler)
        with errors_as_failures():
            return image_opener.open(fullurl, data, deadline.silence_s)
