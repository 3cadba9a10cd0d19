"""Images of webdataset tars with their labels: ``0.png`` and ``0.cls``, or ``0.json``.

The members of one example share its key: the name up to the first dot after the last slash, as
webdataset has it. The rest, in lower case, says what a member is. Names are never paths on disk:
nothing is unpacked.
"""

import posixpath
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from bench.core.errors import RequestError, unknown_name
from bench.core.names import check_utf8
from bench.storage.image_codec import IMAGE_SUFFIXES
from bench.storage.tar_members import KEY_AND_KIND, PACKED_STARTS, is_left_out
from bench.storage.tar_shards import corrupt, read_bytes

PACKED_TARS = (".tgz", ".tbz2", ".txz", *(f".tar{end}" for end in (".gz", ".bz2", ".xz", ".zst")))
"""Ends of the names of tars that are compressed, in lower case."""

_LABELS = ("cls", "cls.txt", "json")
_JSON_LABELS = ("class_name", "class", "label", "cls")
_MAX_LABEL_BYTES = 1_000_000

_INDEX = re.compile(r"-?[0-9]{1,9}")


class TarImage(NamedTuple):
    """Where a labelled image is in its tar."""

    label: int
    offset: int
    size: int
    name: str
    """Of the member."""


class Classes(Protocol):
    """Classes that labels mean, such as a task's."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names, by label."""

    def label(self, class_name: str) -> int | None:
        """Return the label of a name; None if it has none."""


class _Place(NamedTuple):
    """Where a member's bytes are."""

    offset: int
    size: int


class _Member(NamedTuple):
    """A file in a tar; of ``a/0.left.png``, ``left.png`` is the kind."""

    name: str
    kind: str
    place: _Place


def labelled_images(path: Path, task: Classes) -> list[TarImage]:
    """Return the images of a tar, in the order of their bytes; one linked twice is there twice.

    Images of one key, ``0.left.png`` and ``0.right.png``, share its label.

    A label is an index or a class name in a ``.cls`` member, or a value of ``class_name``,
    ``class``, ``label`` or ``cls`` in a ``.json`` member: a text names a class, a whole number is
    its index.

    Args:
        path: The tar, not compressed.
        task: The classes.

    Raises:
        BenchError: If the tar is truncated, damaged or not a tar, or goes on after its end.
        RequestError: If an image has no label or more than one, a label is no class, a key has
            ``0.png`` and further images, or the bytes of a member are not in one piece in the tar.
    """
    examples: dict[str, list[_Member]] = {}
    for name, place in _members(path).items():
        if not is_left_out(name) and (parts := KEY_AND_KIND.fullmatch(name)):
            examples.setdefault(parts[1], []).append(_Member(name, parts[2].lower(), place))
    images = [
        TarImage(label, *image.place, image.name)
        for key, members in examples.items()
        if (found := _images(path, members))
        for label in [_label_of(path, key, members, task)]
        for image in found
    ]
    return sorted(images, key=lambda image: image.offset)


def _images(path: Path, members: list[_Member]) -> list[_Member]:
    """Return an example's images: beside ``0.png``, ``0.seg.png`` may be a mask."""
    images = [member for member in members if f".{member.kind}".endswith(IMAGE_SUFFIXES)]
    if len(images) > 1 and any(f".{member.kind}" in IMAGE_SUFFIXES for member in images):
        shown = ", ".join(member.name for member in images)[:200]
        raise RequestError(f"{path}: one key has several images, {shown}", "keep one of them")
    return images


def _label_of(path: Path, key: str, members: list[_Member], task: Classes) -> int:
    """Return the label of an example, which its members agree on."""
    labels: dict[str, int] = {}
    for name, kind, place in members:
        if kind in _LABELS and place.size <= _MAX_LABEL_BYTES:
            content = read_bytes(path, *place)
            label = _label(content, f"{path}: {name}", task, is_json=kind == "json")
            labels |= {} if label is None else {name: label}
    if not labels:
        present = ", ".join(member.name for member in members)[:200]
        raise RequestError(
            f"{path}: the image {key} has no label, but only {present}",
            f"add {key}.cls (a class's index), or {key}.json with a class_name",
        )
    if len(set(labels.values())) > 1:
        said = [f"{name} says {task.class_names[label]!r}" for name, label in labels.items()]
        raise RequestError(f"{path}: {', but '.join(said)}", "an image has one label")
    return next(iter(labels.values()))


def _members(path: Path) -> dict[str, _Place]:
    """Return the files in a tar by name; a link is what it leads to."""
    places: dict[str, _Place] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                check_utf8("the member", member.name, f" of {path}")
                if member.name in places:
                    raise RequestError(f"{path} has two members {member.name}", "remove one")
                if member.issparse():
                    raise RequestError(
                        f"{path}: the member {member.name} is sparse", "pack it without --sparse"
                    )
                if member.isfile():
                    places[member.name] = _Place(member.offset_data, member.size)
                elif member.islnk():
                    links[member.name] = member.linkname
                elif member.issym():
                    folder = posixpath.dirname(member.name)
                    links[member.name] = posixpath.join(folder, member.linkname)
            _check_end(path, tar.offset)
    except (tarfile.TarError, OSError) as error:
        raise _unreadable(path, error) from error
    by_path = {posixpath.normpath(name): place for name, place in places.items()}
    return places | dict(_resolved(path, links, by_path))


def _resolved(
    path: Path, links: dict[str, str], by_path: dict[str, _Place]
) -> Iterator[tuple[str, _Place]]:
    for name, target in links.items():
        place = by_path.get(posixpath.normpath(target))
        if place is not None:
            yield name, place
        elif KEY_AND_KIND.fullmatch(name):
            raise RequestError(
                f"{path}: the link {name} leads to no file in the tar",
                "pack the files that links lead to (tar --dereference)",
            )


def _check_end(path: Path, at: int) -> None:
    """Make sure that a tar ends where `tarfile` stopped, as it does at whatever is no header.

    Raises:
        BenchError: If there is no end mark, or more than zeros follow it.
    """
    with path.open("rb") as stream:
        stream.seek(at)
        if (block := stream.read(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
            is_short = len(block) < tarfile.BLOCKSIZE
            raise corrupt(path, "cut short" if is_short else f"damaged at byte {at:,}")
        while content := stream.read(2**20):
            if content.strip(b"\0"):
                raise corrupt(path, f"it goes on after its end mark at byte {at:,}")


def _unreadable(path: Path, error: Exception) -> Exception:
    with path.open("rb") as stream:
        start = stream.read(6)
    if start.startswith(PACKED_STARTS):
        return RequestError(f"{path} is compressed", "unpack it, so that it is a plain tar")
    return corrupt(path, str(error))


def _label(content: bytes, where: str, task: Classes, *, is_json: bool) -> int | None:
    try:
        if not is_json:
            text = content.decode().strip()
            return _checked(int(text) if _INDEX.fullmatch(text) else text, where, task)
        values = msgspec.json.decode(content, type=dict[str, object])
    except (ValueError, msgspec.MsgspecError) as error:
        raise RequestError(f"{where} is not a label: {error}") from error
    labels = {
        key: _checked(values[key], f"{where}: {key}", task)
        for key in _JSON_LABELS
        if values.get(key) is not None
    }
    if len(set(labels.values())) > 1:
        shown = ", ".join(f"{key} {values[key]!r}" for key in labels)
        raise RequestError(f"{where} has labels that differ: {shown}", "an image has one label")
    return next(iter(labels.values()), None)


def _checked(value: object, where: str, task: Classes) -> int:
    """Return the label that an index or a class name stands for."""
    names = task.class_names
    if isinstance(value, str):
        label = task.label(value)
        if label is not None:
            return label
        raise unknown_name(f"class in {where}:", value[:100], names)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError(
            f"{where} is not a label: {value!r:.100}", "a label is a class's name or its index"
        )
    if not 0 <= value < len(names):
        raise RequestError(
            f"{where}: there is no class {value}", f"classes count from 0 to {len(names) - 1}"
        )
    return value
