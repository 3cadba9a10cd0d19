"""A study's folder: its runs, the jobs that were submitted for them, and whether it is on hold.

Everything is a small JSON file of its own, written whole, so that jobs on any number of machines
may read and write at once: ``study.json``, ``arrays/``, ``failures/``, ``hold.json``. The date of
the empty file ``since`` is that of the last submission.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from filelock import FileLock

from bench.core.config import Config, Positive
from bench.core.errors import BenchError, RequestError, unknown_name
from bench.core.files import write_json
from bench.core.json_values import Json
from bench.core.paths import Home

T = TypeVar("T", bound=Config)

_NAME = re.compile(r"\w[\w.-]{0,99}")

_VARIABLE = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+|\S*/\S*")
"""What differs between errors of one kind: addresses, hashes, numbers, paths."""


class Submitted(Config, frozen=True, kw_only=True):
    """The content of ``study.json``: a study as it was last submitted."""

    name: str
    runs: dict[str, str]
    """Run id to title, in the study's order."""
    on: str
    profile: Json = {}
    """The resources that its jobs request from Slurm."""
    parallel: int | None = None
    pause_after: Positive = 3
    """Equal errors after which the study pauses itself."""


class Array(Config, frozen=True, kw_only=True):
    """Jobs of one kind that were submitted together; a single job is an array of one."""

    kind: str
    title: str
    tasks: list[list[str]]
    """The run ids that each job is about."""
    job: str = ""
    """The scheduler's number; empty until the scheduler has given it."""

    def job_of(self, task: int) -> str:
        """Return the scheduler's name of one job."""
        return self.job if len(self.tasks) == 1 else f"{self.job}_{task}"


class Failure(Config, frozen=True, kw_only=True):
    """A run's last failure."""

    error: str

    @property
    def kind(self) -> str:
        """The error without what differs between errors of one kind."""
        return _VARIABLE.sub("#", self.error)[:300]


class Hold(Config, frozen=True, kw_only=True):
    """Why a study starts no further run."""

    reason: str
    by: Literal["errors", "user"]


class StudyFolder:
    """One study's folder below the home.

    Raises:
        RequestError: If the name cannot be a folder's.
    """

    def __init__(self, home: Home, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise RequestError(
                f"{name[:100]!r} cannot be a study's name", "use letters, digits, '.', '_' and '-'"
            )
        self.home = home
        self.name = name
        self.path = home.root / "studies" / name

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Hold the lock for submitting; studies of one home share runs, so they share the lock."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.parent / ".lock"):
            yield

    def submit(self, submitted: Submitted) -> None:
        """Write what is submitted now, and forget earlier failures and the hold."""
        for path in (self.path / "failures").glob("*.json"):
            path.unlink(missing_ok=True)
        self.resume()
        write_json(self.path / "study.json", submitted)
        (self.path / "since").touch()

    def submitted(self) -> Submitted:
        """Return what was submitted last.

        Raises:
            RequestError: If nothing was.
            BenchError: If it cannot be read.
        """
        submitted = _read(self.path / "study.json", Submitted)
        if submitted is None:
            raise unknown_name("study", self.name, names(self.home))
        return submitted

    @property
    def since(self) -> int:
        """When the study was last submitted, in nanoseconds, by the file system's clock."""
        return (self.path / "since").stat().st_mtime_ns

    def rename_runs(self, runs: dict[str, str]) -> None:
        """Write the titles of the runs of a study that has nothing left to submit."""
        before = _read(self.path / "study.json", Submitted)
        if before is None:
            self.submit(Submitted(name=self.name, runs=runs, on="debug"))
        else:
            write_json(self.path / "study.json", msgspec.structs.replace(before, runs=runs))

    def add(self, array: Array) -> Path:
        """Write an array of jobs that is about to be submitted; return its file."""
        path = self.path / "arrays" / f"{uuid.uuid4().hex[:12]}.json"
        write_json(path, array)
        return path

    def renew(self, path: Path, array: Array) -> None:
        """Write an array again."""
        write_json(path, array)

    def arrays(self, *, latest: bool = False) -> dict[str, Array]:
        """Return all arrays that were ever submitted, by the name of their file.

        Args:
            latest: Only those of the last submission.
        """
        paths = sorted((self.path / "arrays").glob("*.json"))
        if latest:
            paths = [path for path in paths if path.stat().st_mtime_ns >= self.since]
        arrays = ((path.stem, _read(path, Array)) for path in paths)
        return {name: array for name, array in arrays if array is not None}

    def fail(self, run_id: str, error: str) -> None:
        """Record a failure; pause the study if `pause_after` runs failed with one kind of error."""
        failure = Failure(error=error)
        write_json(self.path / "failures" / f"{run_id}.json", failure)
        limit = self.submitted().pause_after
        alike = sum(other.kind == failure.kind for other in self.failures().values())
        if alike >= limit and self.hold() is None:
            count = "a run failed" if limit == 1 else f"{alike} runs failed alike"
            self.pause(Hold(reason=f"{count}: {error}", by="errors"))

    def failures(self) -> dict[str, Failure]:
        """Return the failures since the study was last submitted, by run id."""
        paths = (self.path / "failures").glob("*.json")
        failures = ((path.stem, _read(path, Failure)) for path in paths)
        return {run_id: failure for run_id, failure in failures if failure is not None}

    def pause(self, hold: Hold) -> None:
        """Put the study on hold: no further run starts."""
        write_json(self.path / "hold.json", hold)

    def resume(self) -> None:
        """Let runs start again; failures stay."""
        (self.path / "hold.json").unlink(missing_ok=True)

    def hold(self) -> Hold | None:
        """Return why the study is on hold; None if it is not."""
        return _read(self.path / "hold.json", Hold)


def names(home: Home) -> list[str]:
    """Return the names of the studies that were submitted."""
    folders = (path.parent.name for path in (home.root / "studies").glob("*/study.json"))
    return sorted(name for name in folders if _NAME.fullmatch(name))


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"cannot read {path}: {error}", "delete it and sweep again") from error
