"""JSON values: canonical and readable encodings, and a hash."""

import hashlib
from typing import Any

import msgspec

Json = dict[str, Any]


def canonical_json(value: object) -> bytes:
    """Return a value's canonical JSON: sorted keys, no spaces."""
    return msgspec.json.encode(value, order="sorted")


def readable_json(value: object) -> bytes:
    """Return a value's JSON, indented for people to read."""
    return msgspec.json.format(msgspec.json.encode(value))


def value_at(values: Json, path: str) -> Any:  # noqa: ANN401 (a JSON value)
    """Return the value at a dotted path of nested mappings; None where there is none."""
    value: Any = values
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def digest(value: object, length: int = 12) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:length]
