"""Which addresses may be contacted: public ones, and those that the user names one by one.

What is checked is the address that a socket is about to connect to, so every spelling of it
(decimal, octal, hexadecimal) and every name that leads to it is the same. The caller connects to
what was checked; a name that leads elsewhere a moment later gains nothing.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence

from sources.download.failures import Failure

Place = tuple[str, int]
"""A numeric address and a port."""

_IPV6_PUBLIC = ipaddress.ip_network("2000::/3")
"""The only IPv6 range that is given out for use on the Internet (RFC 4291)."""

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
    """Return whether a numeric address is one of the Internet's.

    Raises:
        ValueError: If the text is no numeric address.
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


def parse_place(text: str) -> Place:
    """Read ``ADDRESS:PORT``, e.g. ``10.0.0.7:8080`` or ``[fd00::7]:80``.

    Raises:
        ValueError: If it is not written so.
    """
    host, _, port = text.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise ValueError(f"{text!r} is not ADDRESS:PORT, such as 10.0.0.7:8080") from None


def resolve(
    host: str, port: int, allowed: Collection[Place], flags: int = 0
) -> Sequence[tuple[socket.AddressFamily, Place]]:
    """Look a host up; return those of its addresses that may be contacted.

    Args:
        host: A name, or an address in any spelling.
        port: The port to be contacted.
        allowed: Places that may be contacted though they are not public.
        flags: As of `socket.getaddrinfo`.

    Raises:
        Failure: If there are addresses and none may be contacted.
        OSError: If the look-up fails.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    places = [(family, (str(place[0]), port)) for family, _, _, _, place in found]
    good = [
        (family, place)
        for family, place in places
        # A link-local address carries its interface: fe80::1%eth0.
        if place in allowed or is_public(place[0].partition("%")[0])
    ]
    if not good:
        raise Failure("refused address")
    return good
