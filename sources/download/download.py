"""Download the images of a scan's candidates, shard by shard, into tars."""

import urllib.request
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.stage_names import DOWNLOAD
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.stage import Stage
from sources.download import attempts
from sources.download.fetch import fetch_shard, require_answers
from sources.download.options import DownloadOptions
from sources.download.preflight import preflight
from sources.download.read_held import read_held
from sources.pool.pool import MINIWORLD, Pool
from sources.pool.scan import candidates


def download(
    pool: Pool, scanned: Stage, options: DownloadOptions, images: ImageFormat, context: Context
) -> list[Stage]:
    """Return the finished attempts at a scan's candidates (`sources.download.attempts`).

    Each shard holds ``images.tar`` and ``index.parquet`` (`sources.download.fetch.fetch_shard`). An
    attempt that has begun is continued. One begins if options allow what the last did not. Of a
    pool that holds its images they are read instead, in one attempt
    (`sources.download.read_held`).

    Raises:
        RequestError: If there is nothing to download.
        BenchError: If at first no image of a shard could be reached: that is an outage, not a
            result.
    """
    rows = candidates(scanned)
    if rows.is_empty():
        raise RequestError(
            f"no caption of the pool {pool.name!r} names a class of task {context.task.name!r}",
            "look at the task's queries, or choose another pool",
        )
    tried = attempts.begun(first_attempt(scanned, options, images, context), context)
    if tried[-1].done and attempts.may_be_mended(tried, options):
        attempts.begin(tried, options.shard_size, context)
        tried = attempts.begun(tried[0], context)
    if tried[-1].done:
        return tried
    if pool.holds_images:
        read_held(pool, scanned, tried[-1], options.shard_size, images)
        return tried
    rows = attempts.wanted(tried, rows)
    shards = -(-rows.height // options.shard_size)
    _warn_about_proxy(pool, context)
    with pool.image_access() as access:
        is_first = len(tried) == 1
        if is_first:
            preflight(rows, scanned, options, images, context, access)

        def make(index: int, folder: Path) -> None:
            # Shards of even size: all of a small remainder may be dead, which is not an outage.
            start, end = (rows.height * edge // shards for edge in (index, index + 1))
            fetch_shard(rows[start:end], folder, options, images, access)
            attempts.write_limits(folder, options)
            if is_first:
                require_answers(folder)

        tried[-1].run(shards, make)
    return tried


def first_attempt(
    scanned: Stage, options: DownloadOptions, images: ImageFormat, context: Context
) -> Stage:
    """Return the stage of the first attempt at a scan's candidates, finished or not."""
    config: Json = {"images": images.recipe}
    config |= {"shard_size": options.shard_size, "opt_outs": options.opt_outs}
    return context.stage(DOWNLOAD, config, [scanned.output])


def _warn_about_proxy(pool: Pool, context: Context) -> None:
    proxies = {urllib.request.getproxies().get(scheme) for scheme in ("http", "https")} - {None}
    if proxies and pool.name != MINIWORLD:
        context.progress.say(
            "images are fetched through the environment's proxy, which resolves names itself: "
            "it must refuse private addresses, since only numeric ones can be refused here"
        )
