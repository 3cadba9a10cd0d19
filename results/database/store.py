"""The results database: one DuckDB file, made from the runs' records, which are the truth."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from results.database import files
from results.database.files import Stamp
from results.database.statements import statement
from results.database.update import State, is_ours, update

Connection = duckdb.DuckDBPyConnection

Choice = Literal["once", "per-n"]
"""How often the setting of an arm is chosen."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # Tables have no order; not keeping one makes loading parallel.
    "preserve_insertion_order": False,
    # What does not fit is spilled to disk, beside the file.
    "memory_limit": "400MB",
}


_UNFINISHED = ".collect-"
"""Begins the names of the folders in which databases are written."""

_DAY = 86_400.0


@dataclass(frozen=True)
class Collected:
    """A database that is up to date.

    Attributes:
        database: The file.
        read: Records in it.
        skipped: One line per file that was left out, with the reason.
    """

    database: Path
    read: int
    skipped: list[str]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open it for reading.

        Raises:
            BenchError: If a part of the file is damaged.
        """
        try:
            with duckdb.connect(self.database, read_only=True) as connection:
                yield connection
        except duckdb.Error as error:
            if "Corrupt database" not in str(error):
                raise
            raise BenchError(
                f"{self.database} is damaged", "delete it: it is made anew from the records"
            ) from error


def collect(home: Home, settings: Choice = "once", elsewhere: Path | None = None) -> Collected:
    """Bring the database up to date; readers see the old file or the new one.

    It is what a rebuild from every record would be. Of the file's earlier state stays what is of
    records and predictions whose time and size are the same; if these are all, the file is left
    alone. One that another version of this program made, or that cannot be read, is made anew.

    Args:
        home: Where the records are.
        settings: Whether the setting of an arm is chosen once, by the mean over all n, or at each
            n.
        elsewhere: The folder for the database of a home that cannot be written to, which may be
            somebody else's; None refuses such a home.

    Raises:
        RequestError: If the home may only be read.
        BenchError: If there is no record, or the database cannot be written.
    """
    records = files.records(home.runs)
    if not records:
        raise BenchError(
            f"no records in {home.runs}", "run `bench demo` for a first study, or set BENCH_HOME"
        )
    try:
        return _collected(home.database, home.runs, records, settings)
    except (OSError, duckdb.IOException) as error:
        if elsewhere is None:
            raise _not_written(home.database, error) from error
    elsewhere.mkdir(parents=True, exist_ok=True)
    database = elsewhere / home.database.name
    try:
        return _collected(database, home.runs, records, settings)
    except (OSError, duckdb.IOException) as error:
        raise _not_written(database, error) from error


def _collected(
    database: Path, runs: Path, records: dict[str, Stamp], settings: Choice
) -> Collected:
    """Return a database that took its final name when it was whole; raises what writing does."""
    state = _state(database)
    if state is None or not state.is_current(runs, records, settings):
        _clear_away(database.parent)
        with tempfile.TemporaryDirectory(dir=database.parent, prefix=_UNFINISHED) as folder:
            new = Path(folder) / database.name
            state = _updated(database, new, runs, records, settings)
            # A write-ahead log that somebody's own session left would be replayed onto our file.
            database.with_name(f"{database.name}.wal").unlink(missing_ok=True)
            new.replace(database)
    return Collected(database, state.read, state.skipped(runs))


def _clear_away(folder: Path) -> None:
    """Delete what was being written when a process was killed, a day ago or more."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        with suppress(FileNotFoundError):  # Another process may clear away too.
            if time.time() - left.stat().st_mtime > _DAY:
                shutil.rmtree(left, ignore_errors=True)


def _updated(
    database: Path, new: Path, runs: Path, records: dict[str, Stamp], settings: Choice
) -> State:
    """Write what a database would be by now to another file."""
    if database.is_file():
        shutil.copyfile(database, new)
        if _state(new) is None:
            new.unlink()
    with duckdb.connect(new, config=_CONFIG) as connection:
        update(connection, runs, records, settings)
        # Closing does it too, but says nothing where it fails, as on a full disk.
        connection.execute(statement("checkpoint"))
        return State.of(connection)


def _state(database: Path) -> State | None:
    """Return what a database is made of; None if there is none, or not one to go on with."""
    if not database.is_file():
        return None
    try:
        with duckdb.connect(database, read_only=True) as connection:
            return State.of(connection) if is_ours(connection) else None
    except (duckdb.Error, ValueError):
        return None


def _not_written(database: Path, error: Exception) -> BenchError:
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RequestError(
            f"{database.parent} may only be read",
            "`bench report --out DIR` and `bench export --out FILE` work without writing there",
        )
    return BenchError(
        f"cannot write {database}: {error}",
        "make room; or `bench report --out DIR`, which writes elsewhere",
    )


@contextmanager
def reading(home: Home) -> Iterator[Connection]:
    """Open the database for reading; any number of readers may.

    Raises:
        BenchError: If it has not been built.
    """
    if not home.database.is_file():
        raise BenchError(f"there is no database {home.database}", "build it with `bench collect`")
    with duckdb.connect(home.database, read_only=True) as connection:
        yield connection
