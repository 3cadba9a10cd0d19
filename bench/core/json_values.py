"""JSON values: their one spelling, and its hash."""

import hashlib
from typing import Any

import msgspec

Json = dict[str, Any]


def canonical_json(value: object) -> bytes:
    """Return the one JSON spelling of a value: sorted keys, no spaces."""
    return msgspec.json.encode(value, order="sorted")


def readable_json(value: object) -> bytes:
    """Return a value's JSON, indented, for a file or a screen that people read."""
    return msgspec.json.format(msgspec.json.encode(value))


def digest(value: object, length: int = 12) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:length]
