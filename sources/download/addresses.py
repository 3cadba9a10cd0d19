"""Decide which network addresses may be contacted: public ones, and those the user lists.

The check is on the address that a socket is about to connect to. So every spelling of an address
(decimal, octal, hexadecimal) and every name that leads to it are treated alike. The caller connects
to the address that was checked; a name that resolves to another one a moment later gains nothing.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence

from sources.download.failures import Failure

Endpoint = tuple[str, int]
"""A numeric address and a port."""

_IPV6_PUBLIC = ipaddress.ip_network("2000::/3")
"""The only IPv6 range that is assigned for use on the Internet (RFC 4291)."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Addresses that stand for IPv4 ones on networks without IPv4 (RFC 6052)."""

_SPECIAL = [
    ipaddress.ip_network(text)
    for text in (
        # IANA's special-purpose registries (RFC 6890), which differ between versions of Python.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
        # Azure's metadata; other clouds keep theirs within the ranges above.
        "168.63.129.16/32",
    )
]  # fmt: skip


def is_public(text: str) -> bool:
    """Return whether a numeric address belongs to the public Internet.

    Raises:
        ValueError: If the text is not a numeric address.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address not in _IPV6_PUBLIC:
            return False
    return not any(address in network for network in _SPECIAL)


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that ``ADDRESS:PORT`` (``10.0.0.7:8080``, ``[fd00::7]:80``) means.

    Raises:
        ValueError: If the text has another form.
    """
    host, _, port = text.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise ValueError(f"{text!r} is not ADDRESS:PORT, such as 10.0.0.7:8080") from None


def resolve_host(
    host: str, port: int, allowed: Collection[Endpoint], flags: int = 0
) -> Sequence[tuple[socket.AddressFamily, Endpoint]]:
    """Return the addresses of a host that may be contacted.

    Args:
        host: A name, or an address in any spelling.
        port: The port to contact.
        allowed: Endpoints that may be contacted though they are not public.
        flags: As of `socket.getaddrinfo`.

    Raises:
        Failure: If there are addresses and none may be contacted.
        OSError: If the look-up fails.
    """
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    endpoints = [(family, (str(address[0]), port)) for family, _, _, _, address in resolved]
    permitted = [
        (family, endpoint)
        for family, endpoint in endpoints
        # A link-local address carries its interface: fe80::1%eth0.
        if endpoint in allowed or is_public(endpoint[0].partition("%")[0])
    ]
    if not permitted:
        raise Failure("refused address")
    return permitted
