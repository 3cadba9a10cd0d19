"""A study's folder: its runs, the jobs that were submitted for them, and whether it is on hold.

Everything is a small JSON file of its own, written whole, so that any number of jobs on any number
of machines may read and write at once: ``study.json``, ``arrays/``, ``failures/``, ``hold.json``;
and ``since``, which is empty and dates the last submission.
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
from bench.core.files import write_atomic
from bench.core.json_values import Json, readable_json
from bench.core.paths import Home

T = TypeVar("T", bound=Config)

_NAME = re.compile(r"\w[\w.-]{0,99}")

_VARIABLE = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+|\S*/\S*")
"""What differs between equal errors: addresses, hashes, numbers, paths."""


class Submitted(Config, frozen=True, kw_only=True):
    """What ``study.json`` says: a study as it was last submitted."""

    name: str
    runs: dict[str, str]
    """Run id to the words that name it, in the study's order."""
    on: str
    profile: Json = {}
    """What its jobs ask Slurm for."""
    parallel: int | None = None
    pause_after: Positive = 3
    """Equal errors after which the study pauses itself."""


class Array(Config, frozen=True, kw_only=True):
    """Jobs alike that were submitted at once; one that is submitted alone is an array too."""

    kind: str
    title: str
    tasks: list[list[str]]
    """The run ids that each job is about."""
    job: str = ""
    """The scheduler's number; empty for the moment between writing this and having it."""

    def job_of(self, task: int) -> str:
        """Return the scheduler's name of one job."""
        return self.job if len(self.tasks) == 1 else f"{self.job}_{task}"


class Failure(Config, frozen=True, kw_only=True):
    """How a run failed, the last time."""

    error: str

    @property
    def kind(self) -> str:
        """What equal errors have in common."""
        return _VARIABLE.sub("#", self.error)[:300]


class Hold(Config, frozen=True, kw_only=True):
    """Why no run of a study is started."""

    reason: str
    by: Literal["errors", "user"]


class StudyFolder:
    """One study's folder below the home.

    Raises:
        RequestError: If the name is not one of a folder.
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
        """Hold the lock of whoever submits; studies of one home share runs, so they share it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.parent / ".lock"):
            yield

    def submit(self, submitted: Submitted) -> None:
        """Write down what is submitted now; failures of before no longer count."""
        for path in (self.path / "failures").glob("*.json"):
            path.unlink(missing_ok=True)
        (self.path / "hold.json").unlink(missing_ok=True)
        _write(self.path / "study.json", submitted)
        (self.path / "since").touch()

    def submitted(self) -> Submitted:
        """Return what was submitted last.

        Raises:
            RequestError: If nothing was.
            BenchError: If it cannot be read.
        """
        found = _read(self.path / "study.json", Submitted)
        if found is None:
            raise unknown_name("study", self.name, names(self.home))
        return found

    @property
    def since(self) -> int:
        """When the study was last submitted, as files of the home are dated: nanoseconds."""
        return (self.path / "since").stat().st_mtime_ns

    def rename_runs(self, runs: dict[str, str]) -> None:
        """Write down the runs of a study of which nothing is missing."""
        before = _read(self.path / "study.json", Submitted)
        if before is None:
            self.submit(Submitted(name=self.name, runs=runs, on="debug"))
        else:
            _write(self.path / "study.json", msgspec.structs.replace(before, runs=runs))

    def add(self, array: Array) -> Path:
        """Write down jobs that are about to be submitted; return where."""
        path = self.path / "arrays" / f"{uuid.uuid4().hex[:12]}.json"
        _write(path, array)
        return path

    def renew(self, path: Path, array: Array) -> None:
        """Write down what an array came to be."""
        _write(path, array)

    def arrays(self, *, latest: bool = False) -> dict[str, Array]:
        """Return all jobs that were ever submitted, by the name of their file.

        Args:
            latest: Only those of the last submission.
        """
        paths = sorted((self.path / "arrays").glob("*.json"))
        if latest:
            paths = [path for path in paths if path.stat().st_mtime_ns >= self.since]
        found = ((path.stem, _read(path, Array)) for path in paths)
        return {name: array for name, array in found if array is not None}

    def fail(self, run_id: str, error: str) -> None:
        """Note that a run failed; pause the study if as many as it bears failed alike."""
        failure = Failure(error=error)
        _write(self.path / "failures" / f"{run_id}.json", failure)
        bears = self.submitted().pause_after
        alike = sum(other.kind == failure.kind for other in self.failures().values())
        if alike >= bears and self.hold() is None:
            count = "a run failed" if bears == 1 else f"{alike} runs failed alike"
            self.pause(Hold(reason=f"{count}: {error}", by="errors"))

    def failures(self) -> dict[str, Failure]:
        """Return how runs failed since the study was last submitted, by run id."""
        paths = (self.path / "failures").glob("*.json")
        found = ((path.stem, _read(path, Failure)) for path in paths)
        return {run_id: failure for run_id, failure in found if failure is not None}

    def pause(self, hold: Hold) -> None:
        """Let no further run start."""
        _write(self.path / "hold.json", hold)

    def hold(self) -> Hold | None:
        """Return why no run is started, if that is so."""
        return _read(self.path / "hold.json", Hold)


def names(home: Home) -> list[str]:
    """Return the names of the studies that were submitted."""
    found = (path.parent.name for path in (home.root / "studies").glob("*/study.json"))
    return sorted(name for name in found if _NAME.fullmatch(name))


def _write(path: Path, content: Config) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, readable_json(content))


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"cannot read {path}: {error}", "delete it and sweep again") from error
