"""The process that fetches one shard with img2dataset; `sources.download.fetch` starts it.

img2dataset's downloader, writer and multiprocessing do the work, with a resizer of ours. They are
put together as its own `download` does, without the process that logs: our progress is the stage's.
"""

import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from bench.core.files import read_parquet
from bench.storage.image_codec import ImageFormat
from sources.download.addresses import parse_endpoint
from sources.download.failures import is_transient, kind_of_row
from sources.download.options import DownloadOptions
from sources.download.resizer import Resizer
from sources.download.safe_http import FetchPolicy, Opener

USER_AGENT = "retrieved-or-generated"
PAUSE_S = 2.0
"""Pause before the second pass; it doubles with each."""
PARENT_POLL_S = 0.5


class FetchJob(msgspec.Struct, frozen=True):
    """What the process is to fetch.

    Attributes:
        urls: Parquet file with the columns ``name`` and ``url``.
        folder: Where to put the images: a folder per pass.
        parent: The id of the process to end with.
        allowed: Endpoints, as ADDRESS:PORT, that may be contacted though they are not public.
        options: How to fetch.
        images: How images are kept.
    """

    urls: str
    folder: str
    parent: int
    allowed: list[str]
    options: DownloadOptions
    images: ImageFormat


class PartDownloader:
    """img2dataset's downloader of one part of a shard, with the policy of our requests.

    Args:
        policy: What a request may do; it is pickled into each process.
        settings: As of img2dataset's ``Downloader``.
    """

    def __init__(self, policy: FetchPolicy, **settings: Any) -> None:  # noqa: ANN401
        from img2dataset.downloader import Downloader

        self._policy = policy
        self._downloader = Downloader(**settings)

    def __call__(self, part: object) -> object:
        """Fetch a part; return what img2dataset returns: whether it worked, and the part."""
        urllib.request.install_opener(Opener(self._policy))
        return self._downloader(part)


def run_passes(job: FetchJob) -> None:
    """Fetch all images; in each further pass, those whose failure was transient."""
    rows = read_parquet(Path(job.urls))
    for attempt in range(job.options.retries + 1):
        if attempt:
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        folder = Path(job.folder) / f"{attempt:03d}"
        _run_pass(rows, folder, job)
        transient = report(folder).filter(
            pl.col("failure").map_elements(is_transient, return_dtype=pl.Boolean)
        )
        rows = rows.join(transient, on="name", how="semi", maintain_order="left")
        if rows.is_empty():
            return


def report(folder: Path) -> pl.DataFrame:
    """Return one pass's rows: name, key, sha256 (of the bytes sent), part, failure."""
    parts = [read_parquet(file).with_columns(part=pl.lit(str(file.with_suffix(".tar"))))
             for file in sorted(folder.glob("*.parquet"))]  # fmt: skip
    rows = pl.concat(parts)
    kinds = [kind_of_row(*row) for row in rows.select("status", "error_message").iter_rows()]
    return rows.select("name", "key", "sha256", "part", pl.Series("failure", kinds, pl.String))


def _run_pass(rows: pl.DataFrame, folder: Path, job: FetchJob) -> None:
    from img2dataset.distributor import multiprocessing_distributor
    from img2dataset.writer import WebDatasetSampleWriter

    options = job.options
    part_size = -(-rows.height // options.processes)
    downloader = PartDownloader(
        FetchPolicy(frozenset(map(parse_endpoint, job.allowed)), options.deadline_s),
        sample_writer_class=WebDatasetSampleWriter,
        resizer=Resizer(job.images),
        thread_count=options.threads,
        save_caption=False,
        extract_exif=False,
        output_folder=str(folder),
        column_list=rows.columns,
        timeout=options.timeout_s,
        number_sample_per_shard=part_size,
        oom_shard_count=5,
        compute_hash="sha256",
        verify_hash_type=None,
        encode_format=job.images.suffix.removeprefix("."),
        retries=0,
        user_agent_token=USER_AGENT,
        disallowed_header_directives=options.opt_outs or None,
    )
    parts = _write_parts(rows, part_size, folder / "_tmp")
    if options.processes == 1:
        for part in parts:
            downloader(part)
    else:
        multiprocessing_distributor(options.processes, downloader, parts, None, 1)


def _write_parts(rows: pl.DataFrame, size: int, folder: Path) -> list[tuple[int, str]]:
    """Write the parts as img2dataset's reader does, which retries for minutes on a full disk."""
    folder.mkdir(parents=True)
    parts = []
    for index, part in enumerate(rows.iter_slices(size)):
        path = folder / f"{index}.feather"
        part.write_ipc(path, compat_level=pl.CompatLevel.oldest())
        parts.append((index, str(path)))
    return parts


def _end_with(parent: int) -> None:
    """End this process and those it started once its parent is gone."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_S)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Do the job of the first argument; the process leads a group of its own."""
    job = msgspec.json.decode(sys.argv[1], type=FetchJob)
    threading.Thread(target=_end_with, args=(job.parent,), daemon=True).start()
    run_passes(job)
