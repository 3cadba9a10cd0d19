"""One walk over a tree of files, for listing, hashing, reading and naming them alike."""

import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.memo import memo
from bench.core.names import check_utf8, composed

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


MAX_DEPTH = 200
"""Folders in folders that are searched; a data set has a few."""

Named = tuple[str, Path]
"""A file's or a folder's name below the root (NFC, parts joined by ``/``), and its path."""


@dataclass(frozen=True)
class Tree:
    """The files below a folder.

    Attributes:
        root: The folder; or the one file.
        files: The files, sorted by name.
        folders: The folders, sorted by name; one name may stand for several.
        left_out: Why files were left out, to how many: ``hidden``, ``system``, ``special``, or
            their suffix. A hidden or system folder counts once.
    """

    root: Path
    files: tuple[Named, ...]
    folders: tuple[Named, ...]
    left_out: Mapping[str, int]

    def only(self, names: Collection[str], reason: str) -> "Tree":
        """Return this tree with some of its files; the others are left out for a reason."""
        files = tuple(file for file in self.files if file[0] in names)
        left_out = {**self.left_out, reason: len(self.files) - len(files)}
        return replace(self, files=files, left_out={why: n for why, n in left_out.items() if n})

    @property
    def note(self) -> str:
        """The line that says which files are not read; empty if all are."""
        count = sum(self.left_out.values())
        if not count:
            return ""
        by_number = sorted(self.left_out.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in by_number)
        return f"{self.root}: {count:,} of {len(self.files) + count:,} files not read: {reasons}"


@memo
def walk(root: Path, suffixes: tuple[str, ...] = (), others: tuple[str, ...] = ()) -> Tree:
    """Return the files below a folder, in the same order on every machine.

    Links are followed. Hidden names and those of system files are left out.

    Args:
        root: A folder, or one file, whose name is then empty.
        suffixes: The ends of the names to keep, in lower case; none keeps all.
        others: Names below the root to keep besides.

    Raises:
        RequestError: If a folder cannot be read or is `MAX_DEPTH` deep, a link leads nowhere or to
            a folder around itself, a name is not UTF-8, or two names differ in their Unicode form
            alone.
    """
    check_utf8("the path", str(root))
    if not root.is_dir():
        return Tree(root, (("", root),), (), {})
    found = _Found({}, [], Counter())
    try:
        _search(root, "", (_identity(root),), found)
    except OSError as error:
        raise RequestError(f"cannot read {error.filename}: {error.strerror}") from error
    files, left_out = [], found.left_out
    for name, path in sorted(found.files.items()):
        if not suffixes or name.lower().endswith(suffixes) or name in others:
            files.append((name, path))
        else:
            left_out[path.suffix.lower() or "without suffix"] += 1
    return Tree(root, tuple(files), tuple(sorted(found.folders)), dict(left_out))


@dataclass(frozen=True)
class _Found:
    """What a walk has found so far."""

    files: dict[str, Path]
    folders: list[Named]
    left_out: Counter[str]

    def add(self, name: str, path: Path) -> None:
        """Add a file."""
        if name in self.files:
            raise RequestError(
                f"{self.files[name]} and {path} differ in their Unicode form alone",
                "remove or rename one",
            )
        self.files[name] = path


def _search(folder: Path, prefix: str, around: tuple[tuple[int, int], ...], found: _Found) -> None:
    """Find every file below a folder.

    Args:
        folder: The folder.
        prefix: Its name below the root, with a ``/`` at the end.
        around: The identities of the folder and of those it is in.
        found: Is added to.
    """
    if len(around) > MAX_DEPTH:
        raise RequestError(f"{folder} is more than {MAX_DEPTH} folders deep", "flatten it")
    with os.scandir(folder) as scanned:
        entries = list(scanned)
    for entry in entries:
        reason = why_left_out(entry.name)
        if reason:
            found.left_out[reason] += 1
            continue
        path = folder / entry.name
        name = prefix + _composed(entry.name, folder)
        if entry.is_dir():
            identity = _identity(path)
            if identity in around:
                raise RequestError(f"the link {path} leads to a folder around it", "remove it")
            found.folders.append((name, path))
            _search(path, f"{name}/", (*around, identity), found)
        elif entry.is_file():
            found.add(name, path)
        elif entry.is_symlink():
            raise RequestError(f"the link {path} leads nowhere", "mend or remove it")
        else:
            found.left_out["special"] += 1


def why_left_out(name: str) -> str:
    """Return why a file or folder of a name is left out: ``hidden`` or ``system``; else nothing."""
    if name.startswith("."):
        return "hidden"
    return "system" if name.lower() in _SYSTEM else ""


def _composed(name: str, folder: Path) -> str:
    if name.isascii():
        return name
    check_utf8("the name", name, f" in {folder}")
    return composed(name)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
