"""Images behind HTTPS, from a real server with a certificate of its own.

`loopback.pem` is that certificate, for 127.0.0.1, with its key; only these tests trust it.
"""

import ssl
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bench.core.paths import Home
from tests.support.hostile_web import HostileServer, fetch, serving

pytestmark = pytest.mark.slow
CERTIFICATE = Path(__file__).with_name("loopback.pem")


def serving_tls() -> AbstractContextManager[HostileServer]:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(CERTIFICATE)
    return serving(tls=settings)


def test_images_come_over_tls_and_redirects(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    expected = {"fine": None, "status/404": "http 404", "drip": "timeout", "redirect": None}
    with serving_tls() as server, serving() as other:
        urls = {name: f"https://{server.endpoint}/{name}" for name in expected}
        other.targets["there"] = urls["fine"]
        urls["redirect"] = other.url("to/there")
        allowed = [server.endpoint, other.endpoint]
        fetched = fetch(home, [*urls.values()], allow_private=allowed, deadline_s=3)
    assert {name: fetched[url][0] for name, url in urls.items()} == expected


def test_untrusted_certificates_and_private_addresses_are_refused(home: Home) -> None:
    with serving_tls() as untrusted, serving_tls() as private, serving() as other:
        urls = [f"https://{server.endpoint}/fine" for server in (untrusted, private)]
        urls.append(other.url("fine"))
        fetched = fetch(home, urls, allow_private=[untrusted.endpoint, other.endpoint])
    assert [fetched[url][0] for url in urls] == ["TLS", "refused address", None]
    assert not private.requests
