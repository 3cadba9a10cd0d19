"""Where the files in a tar are, read from its headers alone.

Most headers are plain, and are read here: for three small files an image, `tarfile` takes ten times
as long. Whatever else a header may be (a long name, a size of more than 8 GiB, a link, a sparse
file) is left to `tarfile`.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.core.walk import why_left_out

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(_BLOCK)
_CHECKSUM = slice(148, 156)

_WINDOW = 2**24
"""Bytes that the system is asked to read ahead: headers between images are far apart, and each
would wait for the disk."""

_SMALL = 2**20
"""Members up to this size are read ahead: a disk of 100 MB/s takes as long as a jump, 10 ms."""

PACKED_STARTS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How files begin that gzip, bzip2, xz and zstd compressed."""

KEY_AND_KIND = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)
"""Key and kind in a member's name; one that begins with a dot has none (webdataset,
tariterators.py)."""


class TarMember(NamedTuple):
    """A file in a tar, whose bytes are in one piece.

    Attributes:
        name: Its name; bytes that are not UTF-8 are written as escapes. It is never a path on disk.
        offset: Where its bytes begin.
        size: How many there are.
    """

    name: str
    offset: int
    size: int


class DamagedTarError(Exception):
    """A tar that cannot be read to its end; the message says why, in one line."""


def tar_members(path: Path) -> Iterator[TarMember]:
    """Yield the files in a tar in their order; links and folders are left out.

    Raises:
        DamagedTarError: After the last whole file: if the tar is compressed, cut short, damaged or
            no tar, or a file is sparse.
    """
    with path.open("rb") as stream:
        total, start = os.fstat(stream.fileno()).st_size, stream.read(_BLOCK)
        if start.startswith(PACKED_STARTS):
            raise DamagedTarError("it is compressed, and so cannot be read in parts: unpack it")
        if not start:
            raise DamagedTarError("it is empty")
        headers = _Headers(path, stream.fileno())
        try:
            while header := headers.next():
                if header.offset + header.size > total:
                    raise DamagedTarError(f"it is cut short within {header.name!r:.200}")
                yield header
        finally:
            headers.close()


class _Headers:
    """The headers of a tar, one after the other."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor, self._at = path, descriptor, 0
        self._tar: tarfile.TarFile | None = None
        self._asked = self._before = 0

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()

    def next(self) -> TarMember | None:
        """Return the next file, or nothing at the end."""
        while True:
            self._ask_ahead()
            block = os.pread(self._descriptor, _BLOCK, self._at)
            if block == _END:
                return None
            if len(block) < _BLOCK:
                raise DamagedTarError("it is cut short: its end mark is missing")
            found = self._plain(block) if _is_plain(block) else self._any()
            if found is not None:
                return found

    def _ask_ahead(self) -> None:
        """Ask the system for what follows, where it can be asked."""
        is_small = self._at - self._before <= _SMALL
        self._before = self._at
        if is_small and self._at + _WINDOW // 2 > self._asked and hasattr(os, "posix_fadvise"):
            self._asked = max(self._at, self._asked)
            os.posix_fadvise(self._descriptor, self._asked, _WINDOW, os.POSIX_FADV_WILLNEED)
            self._asked += _WINDOW

    def _plain(self, block: bytes) -> TarMember:
        try:
            size = int(block[124:136].strip(b" \0"), 8)
        except ValueError as error:
            raise DamagedTarError(f"it is damaged at byte {self._at:,}") from error
        if size < 0:  # What follows would be before it.
            raise DamagedTarError(f"it is damaged at byte {self._at:,}")
        offset = self._at + _BLOCK
        self._at = offset - (-size // _BLOCK) * _BLOCK
        return TarMember(_name(block[:100].partition(b"\0")[0]), offset, size)

    def _any(self) -> TarMember | None:
        """Return a file as `tarfile` reads it; nothing for a link or a folder."""
        try:
            if self._tar is None:
                self._tar = tarfile.open(self._path, "r:")  # noqa: SIM115 (closed by close)
            self._tar.fileobj.seek(self._at)
            member = tarfile.TarInfo.fromtarfile(self._tar)
        except (tarfile.TarError, OSError, ValueError, RecursionError) as error:
            where = f"it is damaged at byte {self._at:,}" if self._at else "it is no tar"
            raise DamagedTarError(where) from error
        if member.size < 0 or self._tar.offset <= self._at:  # `tarfile` would go back.
            raise DamagedTarError(f"it is damaged at byte {self._at:,}")
        self._at = self._tar.offset
        if member.issparse():
            raise DamagedTarError(f"its member {member.name!r:.200} is sparse")
        if not member.isreg():
            return None
        name = _name(member.name.encode("utf-8", "surrogateescape"))
        return TarMember(name, member.offset_data, member.size)


def _is_plain(block: bytes) -> bool:
    """Return whether a header is that of a file whose name and size are all in it."""
    if block[156] != ord("0") or block[257:262] != b"ustar" or block[345] or block[124] & 0x80:
        return False
    written = block[_CHECKSUM].partition(b"\0")[0].strip()
    spaces = 8 * ord(" ")
    total = sum(block) - sum(block[_CHECKSUM]) + spaces
    return re.fullmatch(b"[0-7]+", written) is not None and int(written, 8) == total


def _name(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def is_left_out(name: str) -> bool:
    """Return whether a member is hidden or a system's, or in such a folder."""
    return any(why_left_out(part) for part in name.split("/") if part.strip("."))
