"""Can DuckDB keep a database in a folder?"""

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from bench.core.errors import BenchError

VERSION = duckdb.__version__


def try_folder(folder: Path) -> None:
    """Make and read a small database in a folder, and remove it.

    Raises:
        BenchError: If DuckDB or the file system does not allow it.
    """
    try:
        with TemporaryDirectory(prefix=".trial-", dir=folder) as place:
            with duckdb.connect(f"{place}/trial.duckdb") as connection:
                connection.execute("CREATE TABLE tried AS SELECT 42 AS answer")
            with duckdb.connect(f"{place}/trial.duckdb", read_only=True) as connection:
                connection.execute("SELECT answer FROM tried").fetchall()
    except (OSError, duckdb.Error) as error:
        raise BenchError(
            f"DuckDB {VERSION} cannot keep a database in {folder}: {error}",
            "set BENCH_HOME to a folder on another file system",
        ) from error
