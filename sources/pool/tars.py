"""Tars of images and their captions, as img2dataset and webdataset write them.

Members of one example share its key: the name up to the first dot after the last slash. Captions
are in the Parquet file beside a tar, where there is one; else in ``KEY.txt``, or in ``KEY.json``
under the names that columns of a Parquet file have.
"""

import os
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from bench.core.files import scan_parquet
from bench.storage.image_codec import IMAGE_SUFFIXES
from bench.storage.tar_members import (
    KEY_AND_KIND,
    DamagedTarError,
    TarMember,
    is_left_out,
    tar_members,
)
from sources.pool.columns import Columns, InvalidFileError, as_text
from sources.pool.json_row import ROW_SCHEMA, JsonRow, json_row
from sources.pool.kinds import sidecar
from sources.pool.match_file import (
    CHUNK_ROWS,
    PLACES,
    Matches,
    match_captions,
    match_file,
    reading,
    schema_of,
)
from sources.pool.matcher import CaptionMatcher

_MAX_TEXT_BYTES = 1_000_000
"""Longer texts are not read: a caption is read up to 10,000 characters."""


class _Example(NamedTuple):
    """What a tar has under one key."""

    image: TarMember
    texts: dict[str, TarMember]
    """By suffix, ``.txt`` and ``.json``."""


class _Contents(NamedTuple):
    """The examples of a tar with an image, by key, and what is wrong with the tar, if anything."""

    examples: dict[str, _Example]
    problem: str


def match_tar(path: Path, root: Path, columns: Columns | None, matcher: CaptionMatcher) -> Matches:
    """Return the matches of a tar.

    Of a tar that is cut short or damaged, what comes before is read.

    Args:
        path: The tar.
        root: The pool's folder.
        columns: Those that are declared: of the Parquet file beside it, or names in its JSON.
        matcher: Finds the classes of captions.

    Raises:
        InvalidFileError: If it has no image, no caption, a name twice or several images of one
            key; or the Parquet file beside it cannot be scanned.
    """
    file = path.relative_to(root).as_posix()
    beside = sidecar(path)
    if beside is None:
        return _match_texts(path, file, columns, matcher)
    return _match_beside(path, file, beside, columns, matcher)


def _match_beside(
    path: Path, file: str, beside: Path, columns: Columns | None, matcher: CaptionMatcher
) -> Matches:
    """Return matches by the captions beside a tar; it is opened if one matches."""
    matches, keys = _table_beside(beside, columns, matcher)
    rows = matches.pairs["row"].unique().sort()
    if rows.is_empty():
        return matches.at(pl.DataFrame(schema=PLACES))
    keys = keys.gather(rows)
    examples, problem = _contents(path)
    found = [examples.get(key) for key in keys]
    names = [f"{file}/{key}" for key in keys]
    return matches.at(_places(file, rows, names, found), problem)


def _table_beside(
    beside: Path, columns: Columns | None, matcher: CaptionMatcher
) -> tuple[Matches, pl.Series]:
    """Return the matches of the captions beside a tar; if there are any, the keys of all rows."""
    try:
        names = schema_of(beside)
        name = next((name for name in names if name.lower() in ("key", "__key__")), None)
        if name is None:
            raise InvalidFileError(
                "it has no column 'key': to read the captions in the tar, move that file away"
            )
        matches = match_file(beside, columns, matcher, addressed=False)
        if matches.pairs.is_empty():
            return matches, pl.Series(dtype=pl.String)
        with reading():
            keys = scan_parquet(beside).select(as_text(name)).collect().to_series()
    except InvalidFileError as error:
        raise InvalidFileError(f"{beside.name} beside it: {error}") from error
    twice = keys.filter(keys.is_duplicated() & keys.is_not_null())
    if len(twice):
        # One image would have the captions of two, and perhaps two labels.
        raise InvalidFileError(f"{beside.name} beside it has two rows of the key {twice[0]!r:.200}")
    return matches, keys


def _match_texts(
    path: Path, file: str, columns: Columns | None, matcher: CaptionMatcher
) -> Matches:
    """Return matches by the captions in a tar."""
    examples, problem = _contents(path)
    if not examples:
        raise InvalidFileError(problem or "it has no images")
    pairs, places, start = [], [], 0
    texts, remaining = _Texts(columns), iter(examples.values())
    while some := list(islice(remaining, CHUNK_ROWS)):
        with path.open("rb") as tar:
            table = texts.table(some, tar.fileno())
        found = match_captions(table["caption"], partial(table.drop, "caption"), start, matcher)
        rows = found["row"].unique().sort()
        chosen = [some[row - start] for row in rows]
        names = [f"{file}/{example.image.name}" for example in chosen]
        pairs.append(found)
        places.append(_places(file, rows, names, chosen))
        start += len(some)
    problem = "; ".join(filter(None, (problem, texts.problem)))
    if not texts.captions:
        raise InvalidFileError(
            problem
            or "none of its images has a caption: KEY.txt, KEY.json with text or caption, or a "
            "Parquet file of the tar's name beside it"
        )
    return Matches(start, texts.has_flag, pl.concat(pairs)).at(pl.concat(places), problem)


def _contents(path: Path) -> _Contents:
    """Return the examples of a tar, in the order of their first members."""
    by_key: dict[str, dict[str, TarMember]] = {}
    problem = ""
    try:
        for member in tar_members(path):
            parts = KEY_AND_KIND.fullmatch(member.name.removeprefix("./"))
            if parts is None or is_left_out(member.name):
                continue
            kinds = by_key.setdefault(parts[1], {})
            if kinds.setdefault(parts[2].lower(), member) is not member:
                raise InvalidFileError(f"it has two members {member.name!r:.200}")
    except DamagedTarError as error:
        problem = f"{error}; {len(by_key):,} whole keys come before"
    examples = {}
    for key, kinds in by_key.items():
        images = [(kind, at) for kind, at in kinds.items() if f".{kind}".endswith(IMAGE_SUFFIXES)]
        exact = [at for kind, at in images if f".{kind}" in IMAGE_SUFFIXES]
        chosen = exact or [at for _, at in images]
        if len(chosen) > 1:
            shown = ", ".join(member.name for member in chosen)
            raise InvalidFileError(f"one key has several images: {shown:.200}")
        if chosen:
            ends = {f".{kind.rpartition('.')[2]}": at for kind, at in kinds.items()}
            texts = {end: at for end, at in ends.items() if end in (".txt", ".json")}
            examples[key] = _Example(chosen[0], texts)
    return _Contents(examples, problem)


def _places(
    file: str, rows: pl.Series, names: list[str], examples: Sequence[_Example | None]
) -> pl.DataFrame:
    places = [
        (row, name, file, example and example.image.offset, example and example.image.size)
        for row, name, example in zip(rows, names, examples, strict=True)
    ]
    return pl.DataFrame(places, schema=PLACES, orient="row")


class _Texts:
    """Reads what a tar says of its images.

    Attributes:
        captions: Captions so far.
        has_flag: Whether anything says how safe an image is.
        unread: The names of texts that cannot be read.
    """

    def __init__(self, columns: Columns | None) -> None:
        self._columns = columns
        self.captions, self.has_flag = 0, False
        self.unread: list[str] = []

    @property
    def problem(self) -> str:
        """What cannot be read, in one line."""
        if not self.unread:
            return ""
        return f"{len(self.unread):,} of its texts cannot be read: {self.unread[0]!r:.200}, …"

    def table(self, examples: list[_Example], tar: int) -> pl.DataFrame:
        """Return the columns of `ROW_SCHEMA` of some examples of an open tar, row for row.

        Raises:
            InvalidFileError: If a value is of another type.
        """
        rows = [self._row(example, tar) for example in examples]
        self.captions += sum(row.caption is not None for row in rows)
        self.has_flag |= any(row.has_flag for row in rows)
        return pl.DataFrame(rows, schema=ROW_SCHEMA, orient="row")

    def _row(self, example: _Example, tar: int) -> JsonRow:
        row, member = JsonRow(), example.texts.get(".json")
        content = self._read(member, tar)
        if member is not None and content is not None:
            try:
                values = msgspec.json.decode(content, type=dict[str, Any])
            except msgspec.MsgspecError:
                self.unread.append(member.name)
            else:
                row = json_row(values, self._columns, f"{member.name!r:.200}")
        if self._columns is None or self._columns.caption == ".txt":
            text = self._read(example.texts.get(".txt"), tar)
            row = row if text is None else row._replace(caption=text)
        return row

    def _read(self, member: TarMember | None, tar: int) -> str | None:
        if member is None:
            return None
        if member.size <= _MAX_TEXT_BYTES:
            try:
                return os.pread(tar, member.size, member.offset).decode()
            except UnicodeDecodeError:
                pass
        self.unread.append(member.name)
        return None
