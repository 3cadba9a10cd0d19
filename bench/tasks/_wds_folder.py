"""What a folder of webdataset tars says of itself: its splits, class names and templates."""

from glob import escape
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.walk import walk
from bench.tasks.folders.layout import called_by_splits, split_of
from bench.tasks.folders.splits import UNSORTED
from bench.tasks.readers.origin import FaultError
from bench.tasks.readers.webdataset import CLASS_NAMES, TEMPLATES, WebdatasetOrigin, lines_of

_CLASS = "{c}"
"""Stands for the class in CLIP-benchmark's templates."""


def webdataset_origin(folder: Path) -> tuple[WebdatasetOrigin, tuple[str, ...]]:
    """Return how a folder is read, and its class names.

    Raises:
        FaultError: If it has no tars, or no list of class names.
    """
    try:
        tars = [name for name, _ in walk(folder, (".tar",)).files]
    except RequestError as error:
        raise FaultError(error.what, fix=error.fix) from error
    folders = sorted({name.rpartition("/")[0] for name in tars})
    splits: dict[str, str] = {}
    for name in folders:
        split = split_of(name) if name else UNSORTED
        if name and not split:
            continue
        if split in splits:
            raise FaultError(f"{folder} has two folders of split {split}: {splits[split]}, {name}")
        splits[split] = f"{escape(name)}/*.tar" if name else "*.tar"
    if not splits:
        raise FaultError(f"{folder} has no tars of a split, such as train/0.tar")
    if UNSORTED in splits and len(splits) > 1:
        raise FaultError(f"{folder} has tars in split folders and others beside them")
    if UNSORTED in splits and (called := called_by_splits(tars)):
        raise FaultError(
            f"{folder} has tars called by their splits: {', '.join(called[:3])}",
            fix="put those of each split into a folder: train, val, test",
        )
    origin = WebdatasetOrigin(repository=folder.name, splits=splits, place=".")
    return origin, tuple(lines_of(folder / CLASS_NAMES))


def templates(folder: Path) -> tuple[str, ...]:
    """Return the folder's templates, with ``{}`` for the class; none where it has no file of them.

    Raises:
        FaultError: If one has no place for the class.
    """
    file = folder / TEMPLATES
    if not file.is_file():
        return ()
    lines = lines_of(file)
    for at, line in enumerate(lines, 1):
        if line.count(_CLASS) != 1 or "{" in line.replace(_CLASS, ""):
            raise FaultError(f"{file}: line {at} needs one {_CLASS}: {line[:80]!r}")
    return tuple(line.replace(_CLASS, "{}") for line in lines)
