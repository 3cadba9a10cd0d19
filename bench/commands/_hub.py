"""Fetch a repository of the Hugging Face Hub into a folder: whole, checked, and resumed."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from bench.core.errors import BenchError, RequestError
from bench.core.files import write_json
from bench.core.weights_folder import SOURCE_FILE

if TYPE_CHECKING:
    from bench.core.progress import Bar

WHERE_ONLINE = "run the same command where there is a network; it continues"

Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes:
        name: Its path in the repository.
        size: Bytes.
        sha256: Its checksum, where the Hub publishes one: of large files.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """Some files of one commit of a repository, and the folder that they go to.

    Attributes:
        repository: ORG/NAME.
        commit: The commit, whatever revision was asked for.
        kind: What kind of repository it is.
        files: The files.
        folder: Where they go; it is there only when they are complete.
    """

    repository: str
    commit: str
    kind: Kind
    files: tuple[HubFile, ...]
    folder: Path

    @property
    def missing_bytes(self) -> int:
        """Bytes of the files that were not fetched yet."""
        partial = self._partial
        return sum(file.size for file in self.files if not (partial / file.name).is_file())

    @property
    def _partial(self) -> Path:
        # The final name means complete: an interrupted download continues under another one, which
        # has the commit, so that files of two commits are never put together.
        return self.folder.with_name(f".{self.folder.name}.{self.commit[:12]}.partial")

    def fetch(self, bar: "Bar") -> None:
        """Fetch what is missing, and advance a bar by the bytes.

        Where another command fetches the same, this waits for it.

        Raises:
            BenchError: If the network fails, or a file arrives with another checksum.
        """
        lock = self.folder.with_name(f".{self.folder.name}.lock")
        with FileLock(lock):
            if not self.folder.is_dir():
                self._fetch_missing(bar)
        lock.unlink(missing_ok=True)

    def _fetch_missing(self, bar: "Bar") -> None:
        with _explained(self.repository):
            for file in self.files:
                if not (self._partial / file.name).is_file():
                    self._fetch(file, bar)
        shutil.rmtree(self._partial / ".cache", ignore_errors=True)
        source = {"repository": self.repository, "kind": self.kind, "commit": self.commit}
        write_json(self._partial / SOURCE_FILE, source)
        self._partial.rename(self.folder)

    def _fetch(self, file: HubFile, bar: "Bar") -> None:
        """Fetch one file; it has its name only once it is checked."""
        from huggingface_hub import hf_hub_download

        staging = self._partial / ".cache" / "staging"
        path = hf_hub_download(
            self.repository,
            file.name,
            revision=self.commit,
            repo_type=self.kind,
            local_dir=staging,
            tqdm_class=_forwarding(bar),
        )
        arrived = Path(path)
        if fault := _fault(arrived, file):
            arrived.unlink()
            raise BenchError(
                f"{file.name} of {self.repository} arrived {fault}",
                "the same command fetches it again",
            )
        target = self._partial / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        arrived.rename(target)


def find_snapshot(
    repository: str,
    revision: str | None,
    kind: Kind,
    folder: Path,
    choose: Callable[[Sequence[str]], Sequence[str]],
) -> Snapshot:
    """Return what there is to fetch of a repository; nothing is fetched yet.

    Args:
        repository: ORG/NAME.
        revision: A commit, tag or branch; None for the newest commit.
        kind: What kind of repository it is.
        folder: Where the files shall go.
        choose: Returns the files to fetch, of all of them.

    Raises:
        RequestError: If there is no such repository or revision, or it is gated.
        BenchError: If the Hub does not answer.
    """
    from huggingface_hub import HfApi

    with _explained(repository):
        client = HfApi()
        ask = client.dataset_info if kind == "dataset" else client.model_info
        info = ask(repository, revision=revision, files_metadata=True)
    listed = {each.rfilename: each for each in info.siblings or ()}
    for name in listed:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BenchError(f"{repository} lists a file outside its folder: {name!r}")
    files = (listed[name] for name in sorted(choose(list(listed))))
    return Snapshot(
        repository,
        str(info.sha),
        kind,
        tuple(HubFile(f.rfilename, f.size or 0, f.lfs.sha256 if f.lfs else "") for f in files),
        folder,
    )


def fetch_all(snapshots: Sequence[Snapshot]) -> None:
    """Fetch several snapshots, with one bar; whether there is room for them is checked first.

    Raises:
        RequestError: If the disk is too small.
        BenchError: As `Snapshot.fetch`.
    """
    from bench.core.progress import Progress

    missing = sum(snapshot.missing_bytes for snapshot in snapshots)
    for snapshot in snapshots:
        snapshot.folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(snapshot.folder.parent).free
        if missing > free:
            raise RequestError(
                f"{missing / 1e9:.1f} GB are to be fetched, and {snapshot.folder.parent} has "
                f"{free / 1e9:.1f} GB free",
                "free some space, or set BENCH_HOME to a folder on a larger disk",
            )
    with Progress().bar("fetching", missing, "byte") as bar:
        for snapshot in snapshots:
            snapshot.fetch(bar)


def require_place(error: Exception) -> None:
    """Raise an error that is not of the network but of the disk."""
    if isinstance(error, OSError) and error.errno in (EACCES, EDQUOT, ENOSPC, EPERM, EROFS):
        raise error


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).partition("\n")[0]


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Raise what the Hub's client raises as errors with a remedy."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise RequestError(
            f"{repository} is gated",
            f"accept its terms on its page of the Hub, then `hf auth login`: {first_line(error)}",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise RequestError(
            f"the Hub has no {repository} of that name and revision for you",
            "check both; a private one needs `hf auth login`",
        ) from error
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        require_place(error)
        raise BenchError(f"cannot fetch {repository}: {first_line(error)}", WHERE_ONLINE) from error


def _forwarding(bar: "Bar") -> type[Any]:
    """Return a class of progress bars that shows nothing and advances a bar."""
    from tqdm import tqdm

    class Forwarding(tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
            super().__init__(*args, **{**options, "disable": True})
            bar.advance(int(options.get("initial") or 0))

        def update(self, n: float | None = 1) -> bool | None:
            bar.advance(int(n or 0))
            return None

    return Forwarding


def _fault(path: Path, file: HubFile) -> str:
    """Return what is wrong with a file that has arrived; nothing if it is the published one."""
    size = path.stat().st_size
    if file.size and size != file.size:
        return f"with {size:,} of {file.size:,} bytes"
    if not file.sha256:
        return ""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found == file.sha256:
        return ""
    return f"with the SHA-256 {found[:12]}…, not {file.sha256[:12]}…"
