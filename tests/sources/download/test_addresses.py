"""Addresses that may be contacted, and the words for what went wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.config import parse_config
from bench.core.errors import RequestError
from sources.download.addresses import is_public, parse_endpoint
from sources.download.failures import KINDS, kind_of_row
from sources.download.options import DownloadOptions


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "169.254.169.254",
        "172.31.0.1", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
        "168.63.129.16", "::", "::1", "::127.0.0.1", "fe80::1", "fec0::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2001:0:7f00:1::",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_no_address_off_the_internet_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_what_python_knows_to_be_special_is_never_public(address: Any) -> None:
    inner = getattr(address, "ipv4_mapped", None) or address
    special = ("is_loopback", "is_link_local", "is_multicast", "is_unspecified", "is_private")
    if any(getattr(inner, name) for name in special):
        assert not is_public(str(address))


@pytest.mark.parametrize("text", ["", "10.0.0.7", "images.local:80", "10.0.0.7:http", "10.0.0.7:"])
def test_a_private_endpoint_is_an_address_and_a_port(text: str) -> None:
    with pytest.raises(RequestError, match="is not ADDRESS:PORT"):
        parse_config(DownloadOptions, {"allow_private": [text]}, "the download")


def test_endpoints_are_read_in_one_spelling() -> None:
    assert parse_endpoint("[FD00::0007]:80") == ("fd00::7", 80)


@given(st.text(), st.sampled_from(["failed_to_download", "failed_to_resize"]))
def test_a_servers_words_never_become_a_reason(message: str, status: str) -> None:
    assert kind_of_row(status, message) in KINDS
