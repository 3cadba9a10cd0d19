"""One walk over a tree of files, for listing, hashing, reading and naming them alike."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import RequestError

_SYSTEM = {
    "thumbs.db",
    "desktop.ini",
    "icon\r",
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}
"""What Windows, macOS, Synology's DSM and ext4 leave behind, in lower case."""


@dataclass(frozen=True)
class Tree:
    """The files below a folder.

    Attributes:
        root: The folder; or the one file.
        files: Name below the root (NFC, parts joined by ``/``) and path of each, sorted by name.
        left_out: Why files were left out, to how many: ``hidden``, ``system``, ``special``, or
            their suffix. A hidden or system folder counts once.
    """

    root: Path
    files: tuple[tuple[str, Path], ...]
    left_out: Mapping[str, int]


def walk(root: Path, suffixes: tuple[str, ...] = ()) -> Tree:
    """Return the files below a folder, in the same order on every machine.

    Links are followed. Hidden names and those of system files are left out.

    Args:
        root: A folder, or one file, whose name is then empty.
        suffixes: The ends of the names to keep, in lower case; none keeps all.

    Raises:
        RequestError: If a folder cannot be read, a link leads nowhere or to a folder around
            itself, a name is not UTF-8, or two names differ in their Unicode form alone.
    """
    if not root.is_dir():
        return Tree(root, (("", root),), {})
    left_out: Counter[str] = Counter()
    found: dict[str, Path] = {}
    try:
        for name, path in _below(root, "", (_identity(root),), left_out):
            if suffixes and not name.lower().endswith(suffixes):
                left_out[path.suffix.lower() or "no suffix"] += 1
                continue
            if name in found:
                raise RequestError(
                    f"{found[name]} and {path} differ in their Unicode form alone",
                    "remove or rename one",
                )
            found[name] = path
    except OSError as error:
        raise RequestError(f"cannot read {error.filename}: {error.strerror}") from error
    return Tree(root, tuple(sorted(found.items())), dict(sorted(left_out.items())))


def _below(
    folder: Path, prefix: str, around: tuple[tuple[int, int], ...], left_out: Counter[str]
) -> Iterator[tuple[str, Path]]:
    """Yield the name and path of every file below a folder.

    Args:
        folder: The folder.
        prefix: Its name below the root, with a ``/`` at the end.
        around: The identities of the folder and of those it is in.
        left_out: Is added to.
    """
    with os.scandir(folder) as scanned:
        entries = list(scanned)
    for entry in entries:
        path = folder / entry.name
        reason = _left_out(entry.name)
        if reason:
            left_out[reason] += 1
            continue
        name = prefix + _nfc(path)
        if entry.is_dir():
            identity = _identity(path)
            if identity in around:
                raise RequestError(f"the link {path} leads to a folder around it", "remove it")
            yield from _below(path, f"{name}/", (*around, identity), left_out)
        elif entry.is_file():
            yield name, path
        elif entry.is_symlink():
            raise RequestError(f"the link {path} leads nowhere", "mend or remove it")
        else:
            left_out["special"] += 1


def _left_out(name: str) -> str:
    if name.startswith("."):
        return "hidden"
    return "system" if name.lower() in _SYSTEM else ""


def _nfc(path: Path) -> str:
    """Return the last name of a path in Unicode's composed form, whatever the file system's."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raw = os.fsencode(path.name)
        raise RequestError(
            f"the name {raw!r} in {path.parent} is not UTF-8", "rename it (convmv renames trees)"
        ) from error
    return unicodedata.normalize("NFC", path.name)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
