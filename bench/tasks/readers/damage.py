"""What is wrong with a file that somebody fetched by hand, said before a parser meets it.

SciPy's reader of MAT-files raises fifteen kinds of errors on damaged ones, and on some it crashes.
"""

import struct
import zlib
from pathlib import Path

_WEB_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<script")
_HEADS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file it stands for",
    b"\x1f\x8b": "is still compressed (gzip)",
    b"PK\x03\x04": "is still in a ZIP archive",
    b"BZh": "is still compressed (bzip2)",
    b"\xfd7zXZ": "is still compressed (xz)",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_MAT_HEADER = 128
_MAT_ORDERS = {b"IM": "<", b"MI": ">"}
_MAT_MATRIX, _MAT_COMPRESSED = 14, 15
"""MathWorks, "MAT-File Format", table 1-1 (2023)."""


def damage(file: Path) -> str:
    """Return what is wrong with a text list, MAT-file or image, as ``is …``; nothing if it is fine.

    Of an image only the beginning is looked at. A list called ``images_…`` has an image and its
    class in every line.
    """
    if file.is_dir():
        return "is a folder, not a file"
    if file.suffix == ".jpg":
        with file.open("rb") as stream:
            return _of_any(stream.read(64))
    content = file.read_bytes()
    if what := _of_any(content):
        return what
    if file.suffix == ".mat":
        return _of_mat(content)
    return _of_text(content) or (_of_pairs(content) if file.name.startswith("images_") else "")


def _of_any(content: bytes) -> str:
    if not content:
        return "is empty"
    head = content[:64].removeprefix(_BYTE_ORDER_MARK).lstrip().lower()
    if head.startswith(_WEB_PAGE):
        return "is a web page, such as a login or an error, saved under its name"
    return next((what for head, what in _HEADS.items() if content.startswith(head)), "")


def _of_text(content: bytes) -> str:
    if content.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte-order mark"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "is not text in UTF-8"
    return "is not text" if "\0" in text else ""


def _of_pairs(content: bytes) -> str:
    for number, line in enumerate(content.decode().splitlines(), 1):
        if len(line.split(maxsplit=1)) < 2:
            return f"has no image and class in line {number}: {line[:60]!r}"
    return ""


def _of_mat(content: bytes) -> str:
    """Return what is wrong with a MAT-file: whole elements, their checksums right, or it is cut."""
    order = _MAT_ORDERS.get(content[_MAT_HEADER - 2 : _MAT_HEADER])
    if not content.startswith(b"MATLAB 5.0") or order is None:
        return "is not a MAT-file of version 5"
    at = _MAT_HEADER
    while at < len(content):
        if at + 8 > len(content):
            return "is cut short"
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind not in (_MAT_MATRIX, _MAT_COMPRESSED):
            return "is damaged"
        element = content[at + 8 : at + 8 + size]
        if len(element) < size:
            return "is cut short"
        if kind == _MAT_COMPRESSED and not _is_whole(element):
            return "is damaged"
        at += 8 + size
    return "" if at > _MAT_HEADER else "is cut short"


def _is_whole(element: bytes) -> bool:
    try:
        zlib.decompress(element)
    except zlib.error:
        return False
    return True
