"""Fetch the images of one shard's rows into a tar with an index."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import msgspec
import polars as pl

from bench.core.errors import BenchError
from bench.core.files import read_parquet
from bench.runtime import signals
from bench.storage.image_codec import ImageFormat
from bench.storage.tar_shards import ShardWriter, members, read_bytes
from sources.download.failures import UNREACHED
from sources.download.options import DownloadOptions
from sources.download.worker import FetchJob, report
from sources.pool.pool import ImageAccess

_PROGRAM = "from sources.download.worker import main; main()"

INDEX_SCHEMA = {
    "key": pl.String,
    "failure": pl.String,
    "sent_sha256": pl.String,
    "offset": pl.Int64,
    "size": pl.Int64,
    "sha256": pl.String,
}
"""The columns of a shard's index, one row per requested image."""


def fetch_shard(
    rows: pl.DataFrame,
    folder: Path,
    options: DownloadOptions,
    images: ImageFormat,
    access: ImageAccess,
) -> float:
    """Fetch the images of rows (key, url) into ``images.tar`` and ``index.parquet``.

    The index has one row per row. Its columns are key; failure, one of `failures.KINDS`, null for a
    fetched image; sent_sha256 of the bytes as the server sent them; offset, size and sha256 in the
    tar.

    Returns:
        Seconds that the passes took, without the start of the process.

    Raises:
        BenchError: If img2dataset fails.
    """
    urls, fetched = folder / "urls.parquet", folder / "fetched"
    url = pl.col("url").map_elements(access.rewrite, return_dtype=pl.String)
    rows.select(url, name="key").write_parquet(urls)
    endpoints = [*options.allow_private, *access.private_endpoints]
    job = FetchJob(str(urls), str(fetched), os.getpid(), endpoints, options, images)
    _run(job, folder)
    passes = sorted(fetched.iterdir())
    index = _pack(passes, rows.height, folder / "images.tar", images.suffix)
    index.write_parquet(folder / "index.parquet")
    seconds = sum(map(_seconds, passes))
    shutil.rmtree(fetched)
    urls.unlink()
    return seconds


def require_answers(folder: Path) -> None:
    """Check that some server answered while a shard was fetched.

    Raises:
        BenchError: If none did: that is an outage, not a result.
    """
    failures = read_parquet(folder / "index.parquet")["failure"]
    if failures.fill_null("").is_in(UNREACHED).all():
        raise BenchError(
            f"no image could be reached: {failures.mode().sort()[0]}",
            "check the network, then the same command continues",
        )


def _run(job: FetchJob, folder: Path) -> None:
    """Run img2dataset in a process of its own: it prints, forks and silences the descriptors."""
    # Not in the folder: its disk may be full.
    with TemporaryFile() as log:
        with signals.blocked_in_helpers():
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, msgspec.json.encode(job).decode()],
                env=_environment(job.allowed),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        try:
            code = process.wait()
        finally:
            _end_group(process)
        log.seek(0)
        output = log.read().decode(errors="replace")
    # img2dataset goes on when it cannot write, and reports the images it lost as failed.
    if os.strerror(errno.ENOSPC) in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if code:
        last_line = " ".join(output.strip().splitlines()[-1:])
        raise BenchError(f"img2dataset failed: {last_line[:200]}", "run the same command again")


def _environment(private_endpoints: Sequence[str]) -> dict[str, str]:
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    return {
        **os.environ,
        "NO_ALBUMENTATIONS_UPDATE": "1",
        # The proxy must not be asked for private endpoints, which are reached directly.
        "no_proxy": ",".join(filter(None, [no_proxy, *private_endpoints])),
    }


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, whether it finished or we were interrupted."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _pack(passes: Sequence[Path], requested: int, tar: Path, suffix: str) -> pl.DataFrame:
    """Pack the fetched images in order of key, so that another download makes the same tar."""
    # The last pass over an image counts.
    rows = pl.concat(map(report, passes)).unique("name", keep="last").sort("name")
    if rows.height != requested:
        raise BenchError(
            f"img2dataset reports on {rows.height} of {requested} images",
            "run the same command again",
        )
    positions = {
        (str(part), key): (part, offset, size)
        for folder in passes
        for part in folder.glob("*.tar")
        for key, offset, size in members(part)
    }
    index = []
    with ShardWriter(tar) as writer:
        for name, key, sent, part, failure in rows.select(
            "name", "key", "sha256", "part", "failure"
        ).iter_rows():
            row = {"key": name, "failure": failure, "sent_sha256": sent}
            if failure is None:
                row |= writer.add(name, read_bytes(*positions[part, key]), suffix)
            index.append(row)
    return pl.DataFrame(index, schema=INDEX_SCHEMA, orient="row")


def _seconds(folder: Path) -> float:
    """Return how long one pass took; its parts may have been fetched in parallel."""
    parts = [json.loads(file.read_bytes()) for file in folder.glob("*_stats.json")]
    ends, starts = ([float(part[name]) for part in parts] for name in ("end_time", "start_time"))
    return max(ends) - min(starts)
