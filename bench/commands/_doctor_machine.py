"""What `bench doctor` checks of the machine: packages, home, DuckDB, device, Slurm, token."""

import os
import shutil
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.commands._finding import Finding, fail, note, ok

if TYPE_CHECKING:
    from bench.core.paths import Home

_LEAST_FREE_GB = 1
"""Below this a run of the miniature world may not end (its pool and image sets, about 0.3 GB)."""

_REINSTALL = "install this project again: `make setup`, or `pip install -e .`"


def packages() -> Iterator[Finding]:
    """Check that the packages which compute the results are installed."""
    from bench.runtime.provenance import versions

    for name, version in versions().items():
        if version == "absent":
            yield fail(f"{name} is not installed", _REINSTALL)
        else:
            yield ok(f"{name} {version}")


def layout() -> Iterator[Finding]:
    """Check that no other package has taken the place of one of this project's."""
    from bench.runtime.layout import TOP_LEVEL, foreign_packages

    for foreign in foreign_packages():
        yield fail(foreign, "install this project in an environment of its own")
    if not foreign_packages():
        yield ok(f"{', '.join(TOP_LEVEL)} are this checkout's")


def home() -> Iterator[Finding]:
    """Check that the home folder can be written to and locked, and that it has room."""
    from bench.core.errors import RequestError
    from bench.core.paths import Home

    try:
        home = Home.from_environment()
        home.make_writable()
    except RequestError as error:
        yield fail(error.what, error.fix)
        return
    free = shutil.disk_usage(home.root).free / 1e9
    if free > _LEAST_FREE_GB:
        yield ok(f"{home.root} is writable, {free:.0f} GB free")
    else:
        yield fail(
            f"{home.root} has {free:.1f} GB free",
            "free some space, or set BENCH_HOME to a folder on another disk",
        )
    yield _locks(home)


def _locks(home: "Home") -> Finding:
    from filelock import FileLock

    try:
        with (
            TemporaryDirectory(prefix=".doctor-", dir=home.root) as folder,
            FileLock(f"{folder}/lock", timeout=1),
        ):
            pass
    except (OSError, NotImplementedError) as error:
        return fail(
            f"files in {home.root} cannot be locked ({error})",
            "set BENCH_HOME to a file system with locks; NFS needs them turned on",
        )
    return ok("its files can be locked, so several workers may share it")


def database() -> Iterator[Finding]:
    """Check that DuckDB can make and read a database in the home folder."""
    from bench.core.errors import BenchError
    from bench.core.paths import Home
    from results.database.trial import VERSION, try_folder

    root = Home.from_environment().root
    if not os.access(root, os.W_OK):
        return
    try:
        try_folder(root)
    except BenchError as error:
        yield fail(error.what, error.fix)
    else:
        yield ok(f"DuckDB {VERSION} can keep a database in the home folder")


def slurm() -> Iterator[Finding]:
    """Check that Slurm answers, where it is installed."""
    from bench.core.errors import BenchError, RequestError
    from slurm.queue import max_array_size, queue

    try:
        jobs, size = queue(), max_array_size()
    except RequestError:
        yield note(
            "there is no Slurm here",
            "studies run as local processes; `--on slurm` needs a login node",
        )
    except BenchError as error:
        yield note(error.what, f"{error.fix}; studies run as local processes without it")
    else:
        yield ok(f"Slurm answers: {len(jobs)} jobs of yours; arrays of up to {size:,} jobs")


def device() -> Iterator[Finding]:
    """Say what models run on."""
    from bench.runtime.provenance import device

    yield ok(device())


def token() -> Iterator[Finding]:
    """Say whether there is a Hugging Face token; it is not shown, and nothing is asked."""
    from huggingface_hub import get_token

    if get_token():
        yield ok("a Hugging Face token is set")
    else:
        yield note(
            "there is no Hugging Face token",
            "gated models and pools need one: accept their terms, then `hf auth login`",
        )
