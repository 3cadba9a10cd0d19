"""A run's folder: its record on disk, and the lock of whoever is at it."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout

from bench.core.errors import BenchError
from bench.core.files import temporary_name, write_atomic
from bench.core.json_values import readable_json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.records import Counts, RunRecord
from bench.core.specs import RunSpec
from bench.runtime import provenance


class TrainSummary(msgspec.Struct, frozen=True):
    """What of a run's training decides how long it takes."""

    epochs: int
    precision: str
    select_by: str


class SpecSummary(msgspec.Struct, frozen=True):
    """Which run it was."""

    task: str
    source: str
    n: int | None
    seed: int
    model: str
    train: TrainSummary
    evaluators: dict[str, msgspec.Raw]
    options: msgspec.Raw


class CountsSummary(msgspec.Struct, frozen=True):
    """How many images there were."""

    fetched: int
    kept: int
    used: int


class Summary(msgspec.Struct, frozen=True):
    """The part of a run's record that tells of its progress and its price, read in microseconds."""

    run_id: str
    status: Literal["done", "failed"]
    spec: SpecSummary
    n: CountsSummary
    image_set: str
    timings: dict[str, float] = {}
    """Seconds per step of the run."""
    images_per_second: float | None = None
    device: str = ""
    error: str = ""
    started: str = ""
    finished: str = ""


def summaries(home: Home, run_ids: Collection[str] | None = None) -> dict[str, Summary]:
    """Return what can be read of the records of many runs; the folder is listed once.

    Args:
        home: Where the runs are.
        run_ids: The runs to read; None for all there are.
    """
    try:
        names = {path.name for path in home.runs.iterdir()}
    except FileNotFoundError:
        return {}
    decoder, found = msgspec.json.Decoder(Summary), {}
    for name in sorted(names if run_ids is None else names & set(run_ids)):
        try:
            found[name] = decoder.decode((home.runs / name / "record.json").read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
    return found


def is_underway(home: Home, run_id: str) -> bool:
    """Return whether another process is at a run."""
    path = home.run(run_id) / ".lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def empty_run(folder: Path) -> None:
    """Delete all of a run but its lock."""
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        elif item.name != ".lock":
            item.unlink()


def read_record(home: Home, run_id: str) -> RunRecord | None:
    """Return a run's record, or None if there is none that can be read."""
    try:
        content = (home.run(run_id) / "record.json").read_bytes()
        return msgspec.json.decode(content, type=RunRecord)
    except (OSError, msgspec.MsgspecError):
        return None


def failed_record(spec: RunSpec, started: str, error: Exception) -> RunRecord:
    """Return the record of a run that ended with an error."""
    return RunRecord(
        run_id=spec.run_id,
        status="failed",
        spec=spec,
        n=Counts(asked=spec.n, matched=0, fetched=0, kept=0, used=0),
        image_set="",
        versions=provenance.versions(),
        git=provenance.git(),
        error=str(error) if isinstance(error, BenchError) else repr(error),
        started=started,
        finished=now(),
    )


def write_record(home: Home, record: RunRecord) -> None:
    """Write a run's record into its folder, whole or not at all."""
    path = home.run(record.run_id) / "record.json"
    write_atomic(path, readable_json(record))


def write_spec(home: Home, spec: RunSpec) -> None:
    """Put a run's spec where a job finds it; how it is carried out may have changed."""
    path = home.run(spec.run_id) / "spec.json"
    content = readable_json(spec)
    if not path.is_file() or path.read_bytes() != content:
        # Many are written at once, and none is missed that did not reach the disk.
        temporary = temporary_name(path)
        temporary.write_bytes(content)
        temporary.replace(path)


def read_spec(home: Home, run_id: str) -> RunSpec:
    """Return the spec in a run's folder.

    Raises:
        BenchError: If it is not there or cannot be read.
    """
    path = home.run(run_id) / "spec.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunSpec)
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"cannot read {path}: {error}", "sweep again") from error


@contextmanager
def alone(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a run's lock; wait for another process that is at the same run."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(f"another process is at run {path.parent.name}; waiting for it to finish")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
