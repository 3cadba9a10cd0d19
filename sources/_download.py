"""Download: img2dataset fetches the candidates' images, shard by shard, into tars."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl

from bench.errors import BenchError, RequestError
from bench.shards import MAX_PIXELS, ShardWriter, Suffix, members, read_bytes
from bench.stage import Stage
from bench.types import Context, Declared, Positive
from sources._pool import Pool, Rewrite
from sources._scan import candidates

USER_AGENT = "retrieved-or-generated"
OPT_OUTS = ["noai", "noimageai", "noindex", "noimageindex"]
"""X-Robots-Tag directives that are honoured: img2dataset's own defaults."""

_UNREACHED = r"^<urlopen error|^\[Errno|timed out|closed connection"
"""What Python says when no server answers, as against one that answers with an error."""


class DownloadOptions(Declared, frozen=True, kw_only=True):
    """How images are fetched."""

    image_size: Positive = 256
    """Longest side kept, in pixels; larger images are reduced, none is padded or enlarged."""
    suffix: Suffix = ".jpg"
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95
    shard_size: Positive = 10_000
    threads: Positive = 32
    timeout_s: Positive = 10
    retries: Annotated[int, msgspec.Meta(ge=0)] = 1


def download(pool: Pool, scanned: Stage, options: DownloadOptions, context: Context) -> Stage:
    """Return the finished download of a scan's candidates.

    Each shard holds ``images.tar`` and ``index.parquet`` (key, offset, size, sha256, status).

    Raises:
        RequestError: If there is nothing to download.
        BenchError: If no image of a shard could be reached: that is an outage, not a result.
    """
    rows = candidates(scanned)
    if rows.is_empty():
        raise RequestError(
            f"no caption of the pool {pool.name!r} names a class of task {context.task.name!r}",
            "look at the task's queries, or choose another pool",
        )
    config = {"image_size": options.image_size, "suffix": options.suffix}
    config |= {"quality": options.quality, "shard_size": options.shard_size}
    stage = Stage(context.home.data, "download", config, [scanned.output])
    if not stage.done:
        with pool.served() as rewrite:

            def make(index: int, folder: Path) -> None:
                part = rows.slice(index * options.shard_size, options.shard_size)
                _fetch(part, folder, options, rewrite)
                _check_reached(folder, index)

            shards = -(-rows.height // options.shard_size)
            stage.run(
                shards, make, context.progress, only=context.shards, summarise=_total_statuses
            )
    return stage


def _fetch(rows: pl.DataFrame, folder: Path, options: DownloadOptions, rewrite: Rewrite) -> None:
    urls = folder / "urls.parquet"
    rows.select("key", pl.col("url").map_elements(rewrite, return_dtype=pl.String)).rename(
        {"key": "name"}
    ).write_parquet(urls)
    request = {
        "url_list": str(urls),
        "input_format": "parquet",
        "url_col": "url",
        "save_additional_columns": ["name"],
        "output_folder": str(folder / "fetched"),
        "output_format": "webdataset",
        "number_sample_per_shard": rows.height,
        "processes_count": 1,
        "thread_count": options.threads,
        "image_size": options.image_size,
        "resize_mode": "keep_ratio_largest",
        "resize_only_if_bigger": True,
        # An image that is small enough keeps its bytes: no second lossy encoding.
        "skip_reencode": True,
        "encode_format": options.suffix.removeprefix("."),
        "encode_quality": options.quality if options.suffix == ".jpg" else 6,
        "timeout": options.timeout_s,
        "retries": options.retries,
        "compute_hash": "sha256",
        "extract_exif": False,
        "max_image_area": MAX_PIXELS,
        "user_agent_token": USER_AGENT,
        "disallowed_header_directives": OPT_OUTS,
    }
    _run_img2dataset(request, folder)
    _index(folder, rows.height, options.suffix)
    urls.unlink()


def _run_img2dataset(request: dict[str, Any], folder: Path) -> None:
    """Run img2dataset in a process of its own: it prints, forks and takes over signals."""
    log = folder / "img2dataset.log"
    with log.open("wb") as stream:
        finished = subprocess.run(
            [sys.executable, "-m", "sources._img2dataset", json.dumps(request)],
            env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "no_proxy": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    said = log.read_text(errors="replace")
    # It goes on when it cannot write, and calls the images it lost failed.
    if os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if finished.returncode or not (folder / "fetched" / "00000.parquet").is_file():
        last = said.strip().splitlines()[-1:]
        raise BenchError(f"img2dataset failed: {' '.join(last)}", "run the same command again")
    log.unlink()


_SCHEMA = {
    "key": pl.String,
    "status": pl.String,
    "error_message": pl.String,
    "offset": pl.Int64,
    "size": pl.Int64,
    "sha256": pl.String,
}


def _index(folder: Path, asked: int, suffix: str) -> None:
    """Pack what was fetched in order of key, so that fetching it again makes the same tar."""
    fetched = folder / "fetched"
    status = pl.read_parquet(fetched / "00000.parquet")
    if status.height != asked:
        raise BenchError(
            f"img2dataset reports on {status.height} of {asked} images",
            "run the same command again",
        )
    found = {key: (offset, size) for key, offset, size in members(fetched / "00000.tar")}
    rows = []
    with ShardWriter(folder / "images.tar") as writer:
        for name, key, outcome, reason in (
            status.select("name", "key", "status", "error_message").sort("name").iter_rows()
        ):
            place = {}
            if key in found:
                content = read_bytes(fetched / "00000.tar", *found[key])
                place = writer.add(name, content, suffix)
            rows.append({"key": name, "status": outcome, "error_message": reason, **place})
    pl.DataFrame(rows, schema=_SCHEMA, orient="row").write_parquet(folder / "index.parquet")
    shutil.rmtree(fetched)


def _check_reached(folder: Path, shard: int) -> None:
    reasons = pl.read_parquet(folder / "index.parquet")["error_message"].fill_null("")
    if reasons.str.contains(_UNREACHED).all():
        raise BenchError(
            f"no image of shard {shard} could be reached: {reasons.mode().sort()[0]}",
            "check the network, then the same command continues",
        )


def _total_statuses(shards: list[Path]) -> dict[str, Any]:
    index = pl.concat(pl.read_parquet(shard / "index.parquet") for shard in shards)
    failed = index.filter(pl.col("status") != "success")
    reasons = failed.group_by("error_message").len().sort("len", descending=True).head(20)
    return {
        "fetched": index.height - failed.height,
        "failed": {str(reason)[:120]: count for reason, count in reasons.iter_rows()},
    }
