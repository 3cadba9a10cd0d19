"""Read Qt's binary resources (``.rcc``), in which Debian's GCompris keeps its pictures.

The layout is Qt's (qtbase, src/corelib/io/qresource.cpp): a header with the offsets of a tree of
nodes, of the data and of the names; all numbers are big-endian.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct(">4s4I")
_NODE_BYTES = 22  # Since version 2; a node's time of change comes last.
_COMPRESSED, _FOLDER = 1, 2


def resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file in a resource file of version 2 or 3."""
    content = path.read_bytes()
    magic, version, tree, data, names = _HEADER.unpack_from(content)
    if magic != b"qres" or version not in (2, 3):
        raise ValueError(f"{path} is no resource file of version 2 or 3")

    def below(node: int, folder: str) -> Iterator[tuple[str, bytes]]:
        name_at, flags, first, second = struct.unpack_from(
            ">IHII", content, tree + node * _NODE_BYTES
        )
        own = f"{folder}/{_name(content, names + name_at)}" if node else ""
        if flags & _FOLDER:
            for child in range(second, second + first):
                yield from below(child, own)
        else:
            # Of a file: where it is, after its language.
            start = data + second
            (size,) = struct.unpack_from(">I", content, start)
            body = content[start + 4 : start + 4 + size]
            yield own, zlib.decompress(body[4:]) if flags & _COMPRESSED else body

    yield from below(0, "")


def _name(content: bytes, at: int) -> str:
    (letters,) = struct.unpack_from(">H", content, at)
    return content[at + 6 : at + 6 + 2 * letters].decode("utf-16-be")
