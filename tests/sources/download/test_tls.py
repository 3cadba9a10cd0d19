"""Images behind HTTPS, which most of the web is: from a real server with a certificate of its own.

`loopback.pem` is that certificate, for 127.0.0.1, with its key; nobody but these tests trusts it.
"""

import ssl
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bench.core.paths import Home
from tests.sources.download.test_download import Server, fetch, serving

CERTIFICATE = Path(__file__).with_name("loopback.pem")


def tls() -> AbstractContextManager[Server]:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(CERTIFICATE)
    return serving(tls=settings)


def addresses(server: Server) -> dict[str, str]:
    return {name: f"https://{server.place}/{name}" for name in ("fine", "status/404", "drip")}


def test_images_come_over_tls_and_by_redirects_to_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with tls() as server, serving() as other:
        urls = addresses(server)
        other.targets["there"] = urls["fine"]
        urls["redirect"] = other.url("to/there")
        found = fetch(
            home,
            list(urls.values()),
            allow_private=[server.place, other.place],
            preflight=0,
            deadline_s=3,
        )
    assert {name: found[url][0] for name, url in urls.items()} == {
        "fine": None,
        "status/404": "http 404",
        "drip": "timeout",
        "redirect": None,
    }


def test_certificates_that_nobody_vouches_for_and_private_addresses_are_refused(home: Home) -> None:
    with tls() as doubtful, tls() as private, serving() as other:
        urls = [f"https://{server.place}/fine" for server in (doubtful, private)]
        urls.append(other.url("fine"))
        found = fetch(home, urls, allow_private=[doubtful.place, other.place], preflight=0)
    assert [found[url][0] for url in urls] == ["TLS", "refused address", None]
    assert not private.asked
