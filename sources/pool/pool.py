"""Find pools of image-text pairs, list their Parquet files, and make their images reachable.

A pool is a local folder, or a URL that fsspec can open. Its ``pool.yaml`` may declare the columns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from filelock import FileLock

from bench.core.config import parse_config
from bench.core.errors import BenchError, RequestError
from bench.core.files import fingerprint_of
from bench.core.json_values import digest
from bench.core.missing import Fetchable, MissingError
from bench.core.model_names import FETCHED_POOLS
from bench.core.paths import Home
from bench.core.walk import Tree, walk
from bench.core.yaml_files import check_declaration, declaration, read_yaml
from bench.miniworld.pool import PLACEHOLDER_HOST, WORLD, build_pool
from bench.miniworld.server import MiniWeb
from sources.pool.columns import Columns, PoolDeclaration
from sources.pool.not_parquet import no_pool
from sources.pool.remote import RemoteFile, list_files, local_copy

DECLARATION = "pool.yaml"
PARQUET = ".parquet"

MINIWORLD = "miniworld"
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
    """

    name: str
    root: Path

    @classmethod
    def find(cls, name: str, home: Home) -> "Pool":
        """Return a pool by name, by path or by URL.

        Raises:
            MissingError: If it does not exist, with the remedy.
            RequestError: If its declaration is wrong.
        """
        if name == MINIWORLD:
            return cls(name, home.data / WORLD)
        if "://" in name:
            return RemotePool.at(name)
        places = (home.pools / name, Path(name))
        for folder in places:
            if folder.is_dir() and _parquet_files(folder):
                pool = cls(name, folder)
                pool.columns  # noqa: B018 (a wrong declaration is found before any work)
                return pool
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
        return fingerprint_of(_tree(self.root).files)

    def notes(self) -> list[str]:
        """Return the line that says which files of a local pool are not read, if any."""
        return [*filter(None, [_tree(self.root).note])] if self.name != MINIWORLD else []

    @property
    def columns(self) -> Columns | None:
        """The columns that ``pool.yaml`` declares; None to look for the usual names.

        Raises:
            RequestError: If the declaration is wrong.
        """
        path = declaration(self.root, DECLARATION)
        return _declared_columns(path, str(path)) if path else None

    def files(self) -> list[str]:
        """Return the pool's Parquet files, sorted; the miniature pool is written first."""
        if self.name == MINIWORLD:
            if not (self.root / "truth.parquet").is_file():
                self._build_miniworld()
            return _parquet_files(self.root / "pool")
        return _parquet_files(self.root)

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
class RemotePool(Pool):
    """A pool behind a URL; its files are fetched one by one, and not kept.

    Attributes:
        listing: Its files.
        declared: What its ``pool.yaml`` says.
    """

    listing: tuple[RemoteFile, ...]
    declared: Columns | None

    @classmethod
    def at(cls, url: str) -> "RemotePool":
        """Return the pool behind a URL.

        Raises:
            RequestError: If it cannot be listed, has no Parquet files, or a wrong declaration.
        """
        files = list_files(url)
        listing = tuple(file for file in files if file.name.lower().endswith(PARQUET))
        if not listing:
            raise RequestError(f"{url} has no Parquet files", "give the URL of their folder")
        check_declaration(url, [file.name for file in files], DECLARATION)
        declared = None
        for file in files:
            if file.name == DECLARATION:
                with TemporaryDirectory() as folder, local_copy(file.url, Path(folder)) as path:
                    declared = _declared_columns(path, file.url)
        return cls(url, Path(url), listing, declared)

    def notes(self) -> list[str]:
        """Return nothing: the files behind a URL are listed as they are."""
        return []

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the files' names, sizes and checksums, and of the declaration."""
        files = [(file.name, file.size, file.checksum) for file in self.listing]
        return digest([files, self.declared])

    @property
    def columns(self) -> Columns | None:
        """The columns that ``pool.yaml`` declares; None to look for the usual names."""
        return self.declared

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


def _tree(folder: Path) -> Tree:
    """Return the Parquet files at any depth, and the declaration."""
    return walk(folder, (PARQUET,), (DECLARATION,))


def _parquet_files(folder: Path) -> list[str]:
    return [str(path) for name, path in _tree(folder).files if name != DECLARATION]


def _declared_columns(path: Path, where: str) -> Columns:
    return parse_config(PoolDeclaration, read_yaml(path), where).columns
