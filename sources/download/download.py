"""Download the images of a scan's candidates, shard by shard, into tars."""

import urllib.request
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.stage_names import DOWNLOAD
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.stage import Stage
from sources.download.failures import count_kinds
from sources.download.fetch import fetch_shard
from sources.download.options import DownloadOptions
from sources.download.preflight import preflight
from sources.pool.pool import MINIWORLD, Pool
from sources.pool.scan import candidates


def download(
    pool: Pool, scanned: Stage, options: DownloadOptions, images: ImageFormat, context: Context
) -> Stage:
    """Return the finished download of a scan's candidates.

    Each shard holds ``images.tar`` and ``index.parquet`` (`sources.download.fetch.fetch_shard`).
    The stage notes how many images were fetched, and how many failed by kind of failure.

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
    config: Json = {"images": images.recipe}
    config |= {"shard_size": options.shard_size, "opt_outs": options.opt_outs}
    stage = context.stage(DOWNLOAD, config, [scanned.output])
    if stage.done:
        return stage
    shards = -(-rows.height // options.shard_size)
    _warn_about_proxy(pool, context)
    with pool.image_access() as access:
        preflight(rows, scanned, options, images, context, access)

        def make(index: int, folder: Path) -> None:
            # Shards of even size: all of a small remainder may be dead, which is not an outage.
            start, end = (rows.height * edge // shards for edge in (index, index + 1))
            fetch_shard(rows[start:end], folder, options, images, access)

        stage.run(shards, make, summarise=_summary)
    return stage


def failures(stage: Stage) -> pl.DataFrame:
    """Return key and failure (null for a fetched image) of a finished download."""
    return _failures(stage.shards())


def _failures(shards: Sequence[Path]) -> pl.DataFrame:
    return pl.concat(
        pl.read_parquet(shard / "index.parquet", columns=["key", "failure"]) for shard in shards
    )


def _summary(shards: Sequence[Path]) -> Json:
    kinds = _failures(shards)["failure"]
    return {"fetched": kinds.null_count(), "failed": count_kinds(kinds)}


def _warn_about_proxy(pool: Pool, context: Context) -> None:
    proxies = {urllib.request.getproxies().get(scheme) for scheme in ("http", "https")} - {None}
    if proxies and pool.name != MINIWORLD:
        context.progress.say(
            "images are fetched through the environment's proxy, which resolves names itself: "
            "it must refuse private addresses, since only numeric ones can be refused here"
        )
