"""A run's folder: its spec, its record, and the lock of the process that executes it."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout

from bench.core.errors import BenchError, RequestError, TooFewImagesError, unknown_name
from bench.core.files import atomic_file, write_json
from bench.core.json_values import readable_json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.records import TOO_FEW_IMAGES, Counts, RunRecord, SchemaVersion
from bench.core.specs import RunSpec
from bench.runtime import provenance
from bench.storage.source_locks import is_locked


class TrainSummary(msgspec.Struct, frozen=True):
    """The fields of a run's training that decide how long it takes."""

    epochs: int
    precision: str
    select_by: str


class SpecSummary(msgspec.Struct, frozen=True):
    """The fields that say which run it was."""

    task: str
    source: str
    n: int | None
    seed: int
    model: str
    train: TrainSummary
    evaluators: dict[str, msgspec.Raw]
    options: msgspec.Raw
    objective: str = "ce"


class CountsSummary(msgspec.Struct, frozen=True):
    """How many images there were."""

    fetched: int
    kept: int
    used: int


class Summary(msgspec.Struct, frozen=True):
    """The part of a run's record that its progress and its price need, read in microseconds."""

    schema_version: SchemaVersion
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
    too_few_images: bool = False
    started: str = ""
    finished: str = ""

    @property
    def state(self) -> str:
        """Its status, or `TOO_FEW_IMAGES`."""
        return TOO_FEW_IMAGES if self.too_few_images else self.status


def summaries(home: Home, run_ids: Collection[str] | None = None) -> dict[str, Summary]:
    """Return the summaries of many runs, but of unreadable records; the folder is listed once.

    Args:
        home: Where the runs are.
        run_ids: The runs to read; None for all there are.
    """
    try:
        names = {path.name for path in home.runs.iterdir()}
    except FileNotFoundError:
        return {}
    decoder, summaries = msgspec.json.Decoder(Summary), {}
    for name in sorted(names if run_ids is None else names & set(run_ids)):
        try:
            summaries[name] = decoder.decode((home.runs / name / "record.json").read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
    return summaries


def find_run(home: Home, beginning: str) -> str:
    """Return the id of the one run whose id begins so.

    Raises:
        RequestError: If there is none, or more than one.
    """
    ids = sorted(path.name for path in home.runs.iterdir()) if home.runs.is_dir() else []
    matches = [run_id for run_id in ids if run_id.startswith(beginning)]
    if not matches:
        raise unknown_name("run", beginning, ids)
    if len(matches) > 1:
        raise RequestError(
            f"{len(matches)} runs begin with {beginning!r}", "give more of the run's id"
        )
    return matches[0]


def is_underway(home: Home, run_id: str) -> bool:
    """Return whether another process is executing a run."""
    path = home.run(run_id) / ".lock"
    return path.exists() and is_locked(path)


def clear_run(folder: Path) -> None:
    """Delete everything in a run's folder but its lock."""
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        elif item.name != ".lock":
            item.unlink()


def read_record(home: Home, run_id: str) -> RunRecord | None:
    """Return a run's record, or None if there is none or it cannot be read."""
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
        too_few_images=isinstance(error, TooFewImagesError),
        started=started,
        finished=now(),
    )


def write_record(home: Home, record: RunRecord) -> None:
    """Write a run's record into its folder, whole or not at all."""
    write_json(home.run(record.run_id) / "record.json", record)


def write_spec(home: Home, spec: RunSpec) -> None:
    """Write a run's spec where a job finds it; how it is executed may have changed."""
    path = home.run(spec.run_id) / "spec.json"
    content = readable_json(spec)
    if not path.is_file() or path.read_bytes() != content:
        # Not flushed to disk: many are written at once, and a lost one is written again.
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)


def read_spec(home: Home, run_id: str) -> RunSpec:
    """Return the spec in a run's folder.

    Raises:
        BenchError: If it does not exist or cannot be read.
    """
    path = home.run(run_id) / "spec.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunSpec)
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"cannot read {path}: {error}", "sweep again") from error


def record_date(home: Home, run_id: str) -> int:
    """Return when a run's record was written, in nanoseconds; 0 if there is none."""
    try:
        return (home.run(run_id) / "record.json").stat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def run_lock(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a run's lock; wait for another process that executes the same run."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(
            f"another process is executing run {path.parent.name}; waiting for it to finish"
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
