"""How one image is asked for: what urllib does for img2dataset, within bounds.

HTTP and HTTPS alone, at every redirect as well; addresses that may be contacted alone; bounded
bytes, redirects and time, headers and handshake included. A proxy that the environment names is
used. It looks names up by itself, so only addresses written as numbers can be refused here.
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

from sources.download.addresses import Place, resolve
from sources.download.failures import Failure, named

MAX_BYTES = 32 * 2**20
"""Longest response that is read; the threads of a shard hold one each."""


class FetchPolicy(NamedTuple):
    """What a request may do.

    Attributes:
        allowed: Places that may be contacted though they are not public.
        deadline_s: Seconds for one image, redirects included.
    """

    allowed: frozenset[Place]
    deadline_s: float


class _Patience(float):
    """Seconds that a server may be silent, and the moment by which all must be over.

    urllib hands its time-out on unread, to a redirected request too: so the moment goes along.
    """

    end: float

    @classmethod
    def begin(cls, silence: float, total: float) -> "_Patience":
        patience = cls(silence)
        patience.end = time.monotonic() + total
        return patience

    def left(self) -> float:
        """Return the seconds that may be waited now."""
        left = min(float(self), self.end - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return left


class _Timed(io.RawIOBase):
    """What a socket receives; no single read, however small, outlasts the patience."""

    def __init__(self, sock: socket.socket, stream: io.RawIOBase, patience: _Patience) -> None:
        super().__init__()
        self._sock, self._stream, self._patience = sock, stream, patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (any writable buffer)
        self._sock.settimeout(self._patience.left())
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that fails once it is longer than an image may be."""

    def __init__(self, patience: _Patience, sock: socket.socket, *more: Any, **names: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *more, **names)
        self.fp = io.BufferedReader(_Timed(sock, self.fp.detach(), patience))

    def read(self, amt: int | None = None) -> bytes:
        if (self.length or 0) > MAX_BYTES:
            raise Failure("too large")
        with named():
            # Where a length is declared, http.client checks that all of it arrives.
            unknown = amt is None and self.length is None
            content = super().read(MAX_BYTES + 1 if unknown else amt)
        if len(content) > MAX_BYTES:
            raise Failure("too large")
        return content


def _connect(
    place: Place, patience: _Patience, _: object = None, *, allowed: Collection[Place] | None
) -> socket.socket:
    """Connect to a host, as `socket.create_connection` does, at an address that was checked.

    Args:
        place: Host and port.
        patience: How long it may take.
        allowed: Places that may be contacted though they are not public; None for a proxy, which
            may be anywhere.
    """
    if allowed is None:
        return socket.create_connection(place, patience.left())
    problem: OSError = OSError()
    for family, address in resolve(*place, allowed):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(patience.left())
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise problem


class _Bounded(http.client.HTTPConnection):
    def __init__(
        self,
        host: str,
        *,
        timeout: _Patience,
        allowed: Collection[Place] | None,
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(host, timeout=timeout, **more)
        self.response_class = partial(_Response, timeout)  # type: ignore[assignment]
        self._create_connection = partial(_connect, allowed=allowed)


class _BoundedTls(_Bounded, http.client.HTTPSConnection):
    """The same within TLS."""


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def __init__(self, rules: FetchPolicy) -> None:
        super().__init__()
        self._rules = rules
        self._tls = ssl.create_default_context()

    def http_open(self, req: urllib.request.Request) -> Any:  # noqa: ANN401 (as urllib's)
        allowed = self._allowed(req)
        return self.do_open(_Bounded, req, allowed=allowed)  # type: ignore[arg-type]

    def https_open(self, req: urllib.request.Request) -> Any:  # noqa: ANN401
        allowed = self._allowed(req)
        return self.do_open(_BoundedTls, req, context=self._tls, allowed=allowed)  # type: ignore[arg-type]

    def _allowed(self, request: urllib.request.Request) -> Collection[Place] | None:
        if not (request.has_proxy() or getattr(request, "_tunnel_host", None)):
            return self._rules.allowed
        target = urlsplit(request.full_url)
        host, port = unquote(target.hostname or ""), target.port or 0
        with suppress(socket.gaierror):  # A name, which is the proxy's to look up.
            resolve(host, port, self._rules.allowed, socket.AI_NUMERICHOST)
        return None


class Opener(urllib.request.OpenerDirector):
    """Opens web addresses within the rules.

    Args:
        rules: The rules.
    """

    def __init__(self, rules: FetchPolicy) -> None:
        super().__init__()
        self._rules = rules
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.UnknownHandler(),
            _Handler(rules),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self.add_handler(handler)

    def open(self, fullurl: Any, data: Any = None, timeout: float | None = None) -> Any:  # noqa: ANN401 (as urllib's)
        """Open an address.

        Raises:
            Failure: If it cannot be had.
        """
        if not isinstance(timeout, _Patience):
            total = self._rules.deadline_s
            timeout = _Patience.begin(timeout or total, total)
        with named():
            return super().open(fullurl, data, timeout)
