"""Find pools of image-text pairs, list their files, and make their images reachable.

A pool is a local folder, or a URL that fsspec can open. `sources.pool.kinds` says what is in
it; its ``pool.yaml`` may declare that, and the columns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl
from filelock import FileLock

from bench.core.config import parse_config
from bench.core.errors import BenchError, RequestError
from bench.core.files import fingerprint_of
from bench.core.json_values import digest
from bench.core.missing import Fetchable, MissingError
from bench.core.model_names import FETCHED_POOLS
from bench.core.paths import Home
from bench.core.yaml_files import check_declaration, declaration, read_yaml
from bench.miniworld.pool import PLACEHOLDER_HOST, WORLD, build_pool
from bench.miniworld.server import MiniWeb
from bench.miniworld.tars import build_tars
from bench.runtime.threads import cores
from sources.pool.columns import Columns
from sources.pool.held import Content, contents, match_held
from sources.pool.kinds import (
    DECLARATION,
    METADATA,
    PARQUET,
    WORDS,
    Kind,
    PoolDeclaration,
    find_kind,
    read_tree,
    units,
)
from sources.pool.match_file import Matches, match_file
from sources.pool.matcher import CaptionMatcher
from sources.pool.not_parquet import no_pool
from sources.pool.remote import RemoteFile, list_files, local_copy

MINIWORLD = "miniworld"
MINIWORLD_TARS = "miniworld-tars"
MINIWORLDS = (MINIWORLD, MINIWORLD_TARS)
"""The miniature pool, by addresses that a local server answers, and as tars of its images."""

MINIWORLD_PAIRS = 30_000


class ImageAccess(NamedTuple):
    """How a pool's images are reached.

    Attributes:
        rewrite: Turns a pool's URL into the one to fetch.
        private_endpoints: The servers of its images, as ADDRESS:PORT, that are not public.
    """

    rewrite: Callable[[str], str]
    private_endpoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """A pool of image-text pairs.

    Attributes:
        name: Its name, path or URL, as requested.
        root: The folder that holds it.
        kind: What it is.
    """

    name: str
    root: Path
    kind: Kind = "addresses"

    @classmethod
    def find(cls, name: str, home: Home) -> "Pool":
        """Return a pool by name, by path or by URL.

        Raises:
            MissingError: If it does not exist, with the remedy.
            RequestError: If its declaration is wrong.
        """
        if name == MINIWORLD:
            return cls(name, home.data / WORLD)
        if name == MINIWORLD_TARS:
            return MiniTars(name, home.data / f"{WORLD}-tars", "tars")
        if "://" in name:
            return RemotePool.at(name)
        places = (home.pools / name, Path(name))
        for folder in places:
            if folder.is_dir() and (kind := find_kind(folder, _declaration(folder))):
                return cls(name, folder, kind)
        for place in places:
            if place.exists():
                raise no_pool(name, place)
        raise MissingError(
            f"there is no pool {name!r}",
            f"put its files into {home.pools / name} (Re-LAION is gated: accept its terms, then "
            f"`bench fetch --pool` with your token), or run offline: --preset mini",
            Fetchable("pool", name) if name in FETCHED_POOLS else None,
        )

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the pool's files."""
        if self.name == MINIWORLD:
            return f"{WORLD}-{MINIWORLD_PAIRS}"
        if self.kind != "folder":
            return fingerprint_of(read_tree(self.root, self.kind).files)
        # Both ends of every image would be all of it.
        files = dict(read_tree(self.root, self.kind).files)
        images = {name for name in files if not name.endswith((METADATA, DECLARATION))}
        texts = tuple((name, file) for name, file in files.items() if name not in images)
        named = tuple((name, files[name]) for name in images)
        return digest([fingerprint_of(texts), fingerprint_of(named, edge=0)])

    def notes(self) -> list[str]:
        """Return the line that says which files of a local pool are not read, if any."""
        if self.name == MINIWORLD:
            return []
        return [*filter(None, [read_tree(self.root, self.kind).note])]

    @property
    def holds_images(self) -> bool:
        """Whether its images are read from the disk, and not fetched from addresses."""
        return self.kind != "addresses"

    @property
    def what(self) -> str:
        """What it is, in words."""
        return WORDS[self.kind]

    @property
    def declaration(self) -> PoolDeclaration:
        """What ``pool.yaml`` says; by itself, nothing.

        Raises:
            RequestError: If the declaration is wrong.
        """
        return _declaration(self.root)

    @property
    def columns(self) -> Columns | None:
        """The columns that ``pool.yaml`` declares; None to look for the usual names."""
        return self.declaration.columns

    def match(self, path: Path, matcher: CaptionMatcher) -> Matches:
        """Return the matches of one of the pool's files.

        Args:
            path: As of `local_file`.
            matcher: Finds the classes of captions.

        Raises:
            InvalidFileError: If it cannot be scanned.
        """
        if self.holds_images:
            return match_held(self.kind, path, self.root, self.declaration, matcher)
        return match_file(path, self.columns, matcher)

    def contents(self, places: pl.DataFrame) -> Iterator[tuple[str, Content]]:
        """Yield the key of each of some images and what reads it (`sources.pool.held.contents`)."""
        return contents(self.kind, self.root, self.declaration.image, places)

    def files(self) -> list[str]:
        """Return the pool's files with captions, sorted; the miniature pool is written first."""
        if self.name == MINIWORLD:
            if not (self.root / "truth.parquet").is_file():
                self._build_miniworld()
            return units(self.root / "pool", self.kind)
        return units(self.root, self.kind)

    def _build_miniworld(self) -> None:
        self.root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root.with_name(f".{self.root.name}.lock")):
            if not (self.root / "truth.parquet").is_file():
                build_pool(self.root, size=MINIWORLD_PAIRS)

    @contextmanager
    def local_file(self, file: str, folder: Path) -> Iterator[Path]:
        """Yield one of the pool's files as a local one.

        Args:
            file: One of `files`.
            folder: Where a remote file is kept until the block ends.
        """
        yield Path(file)

    @contextmanager
    def image_access(self) -> Iterator[ImageAccess]:
        """Yield how the images are reached.

        The miniature world's images come from a real server on loopback, started here.
        """
        if self.name != MINIWORLD:
            yield ImageAccess(lambda url: url)
            return
        self.files()  # They are not written yet if nothing was scanned.
        with MiniWeb(self.root) as web:
            yield ImageAccess(lambda url: url.replace(PLACEHOLDER_HOST, web.host, 1), (web.host,))


@dataclass(frozen=True)
class MiniTars(Pool):
    """The miniature pool as tars that hold its images; they are written when they are asked for."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of what the tars are made of."""
        return f"{self.root.name}-{MINIWORLD_PAIRS}"

    def notes(self) -> list[str]:
        """Return nothing: every file is read."""
        return []

    def files(self) -> list[str]:
        """Return the tars, sorted; they are written first."""
        if not self.root.is_dir():
            world = Pool(MINIWORLD, self.root.with_name(WORLD))
            world.files()
            with FileLock(self.root.with_name(f".{self.root.name}.lock")):
                if not self.root.is_dir():
                    build_tars(world.root, self.root, cores())
        return units(self.root, self.kind)


@dataclass(frozen=True)
class RemotePool(Pool):
    """A pool behind a URL; its files are fetched one by one, and not kept.

    Attributes:
        listing: Its files.
        declared: What its ``pool.yaml`` says.
    """

    listing: tuple[RemoteFile, ...] = ()
    declared: Columns | None = None

    @classmethod
    def at(cls, url: str) -> "RemotePool":
        """Return the pool behind a URL.

        Raises:
            RequestError: If it cannot be listed, has no Parquet files, or a wrong declaration.
        """
        files = list_files(url)
        listing = tuple(file for file in files if file.name.lower().endswith(PARQUET))
        if not listing:
            tars = any(file.name.lower().endswith(".tar") for file in files)
            raise RequestError(
                f"{url} has no Parquet files{', but tars' if tars else ''}",
                "copy them to a folder: tars are read from a disk"
                if tars
                else "give the URL of their folder",
            )
        check_declaration(url, [file.name for file in files], DECLARATION)
        declared = None
        for file in files:
            if file.name == DECLARATION:
                with TemporaryDirectory() as folder, local_copy(file.url, Path(folder)) as path:
                    declared = _declared_remotely(path, file.url)
        return cls(url, Path(url), listing=listing, declared=declared)

    def notes(self) -> list[str]:
        """Return nothing: the files behind a URL are listed as they are."""
        return []

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the files' names, sizes and checksums, and of the declaration."""
        files = [(file.name, file.size, file.checksum) for file in self.listing]
        return digest([files, self.declared])

    @property
    def declaration(self) -> PoolDeclaration:
        """What ``pool.yaml`` says."""
        return PoolDeclaration(columns=self.declared)

    def files(self) -> list[str]:
        """Return the URLs of the pool's Parquet files, sorted."""
        return [file.url for file in self.listing]

    @contextmanager
    def local_file(self, file: str, folder: Path) -> Iterator[Path]:
        """Yield one of the pool's files as a local one, which is deleted after the block."""
        size = next(listed.size for listed in self.listing if listed.url == file)
        with local_copy(file, folder) as path:
            if size and path.stat().st_size != size:
                raise BenchError(
                    f"{file} arrived with {path.stat().st_size:,} of {size:,} bytes",
                    "the same command fetches it again",
                )
            yield path


def _declaration(folder: Path) -> PoolDeclaration:
    path = declaration(folder, DECLARATION)
    return parse_config(PoolDeclaration, read_yaml(path), str(path)) if path else PoolDeclaration()


def _declared_remotely(path: Path, where: str) -> Columns | None:
    said = parse_config(PoolDeclaration, read_yaml(path), where)
    if said.kind not in {None, "addresses"}:
        raise RequestError(
            f"{where} says kind: {said.kind}",
            "copy the pool to a folder: images are read from a disk",
        )
    return said.columns
