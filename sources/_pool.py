"""Upstream pools of image-text pairs: a folder of Parquet files, and how to reach their images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bench.errors import RequestError
from bench.files import fingerprint
from bench.miniworld.pool import PLACEHOLDER_HOST, WORLD, build_pool
from bench.miniworld.server import MiniWeb
from bench.paths import Home

MINIWORLD = "miniworld"
MINIWORLD_PAIRS = 30_000

NSFW_DROPPED = ("NSFW", "UNSURE")

Rewrite = Callable[[str], str]


@dataclass(frozen=True)
class Pool:
    """A pool of image-text pairs.

    Attributes:
        name: Its name or path, as asked for.
        root: The folder that holds it.
    """

    name: str
    root: Path

    @classmethod
    def find(cls, name: str, home: Home) -> "Pool":
        """Return a pool by name or by path.

        Raises:
            RequestError: If it is not there, with the remedy.
        """
        if name == MINIWORLD:
            return cls(name, home.data / WORLD)
        for folder in (home.root / "pools" / name, Path(name)):
            if any(folder.glob("*.parquet")):
                return cls(name, folder)
        raise RequestError(
            f"the pool {name!r} is not here",
            f"put its Parquet files into {home.root / 'pools' / name} (Re-LAION "
            "is gated: accept its terms, fetch it with your token), or run offline: --preset mini",
        )

    @property
    def pin(self) -> str:
        """Fingerprint of the pool."""
        if self.name == MINIWORLD:
            return f"{WORLD}-{MINIWORLD_PAIRS}"
        return fingerprint(self.root)

    def files(self) -> list[Path]:
        """Return the pool's Parquet files in order; the miniature pool is written first."""
        if self.name == MINIWORLD:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root.with_name(f".{self.root.name}.lock")):
                if not (self.root / "truth.parquet").is_file():
                    build_pool(self.root, size=MINIWORLD_PAIRS)
            return sorted((self.root / "pool").glob("*.parquet"))
        return sorted(self.root.glob("*.parquet"))

    @contextmanager
    def served(self) -> Iterator[Rewrite]:
        """Make the images reachable; yield what turns a pool's URL into one to fetch.

        The miniature world's images come from a real server on loopback, started here.
        """
        if self.name != MINIWORLD:
            yield lambda url: url
            return
        with MiniWeb(self.root) as web:
            yield lambda url: url.replace(PLACEHOLDER_HOST, web.host, 1)
