"""Preflight: fetch a sample of a long list, to forecast the yield and the duration of the whole.

Links of web pools rot. The yield is not known beforehand, and a download takes hours or days. So a
user learns both within a minute, and a mistake (no network, a wrong proxy) stops the run there.
"""

from pathlib import Path

import msgspec
import polars as pl

from bench.core.duration import format_durations
from bench.core.errors import BenchError
from bench.core.files import read_parquet, write_json
from bench.core.intervals import wilson
from bench.core.json_values import Json
from bench.core.stage_names import PREFLIGHT
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.stage import Stage
from sources.download.failures import count_kinds
from sources.download.fetch import fetch_shard, require_answers
from sources.download.options import DownloadOptions
from sources.pool.pool import ImageAccess

LONG = 10
"""A list is worth a preflight if it is this many times as long as the sample."""

IMAGES_PER_THREAD = 10
"""Images of the sample for each thread: with fewer, one slow server would set the pace."""

SEED = 0


def preflight(
    rows: pl.DataFrame,
    scanned: Stage,
    options: DownloadOptions,
    images: ImageFormat,
    context: Context,
    access: ImageAccess,
) -> None:
    """Fetch a sample of a long list, once, and report a forecast for the whole.

    The stage notes the sample (``sample``, ``fetched``, ``failed`` by kind, ``seconds``,
    ``threads``) and the forecast.

    Raises:
        BenchError: If no image of the sample could be fetched.
    """
    size = options.preflight
    if not size or rows.height < LONG * size:
        return
    config = {"version": 2, "sample": size, "seed": SEED, "opt_outs": options.opt_outs}
    stage = context.stage(PREFLIGHT, config, [scanned.output])
    threads = max(1, min(options.threads, size // IMAGES_PER_THREAD))
    sample_options = msgspec.structs.replace(options, threads=threads, processes=1)

    def make(_: int, folder: Path) -> None:
        seconds = fetch_shard(rows.sample(size, seed=SEED), folder, sample_options, images, access)
        require_answers(folder)
        failures = read_parquet(folder / "index.parquet")["failure"]
        failed = count_kinds(failures)
        if not failures.null_count():
            reasons = ", ".join(f"{count} {kind}" for kind, count in failed.items())
            raise BenchError(
                f"none of a sample of {size} images could be fetched: {reasons}",
                "check the network and the pool; source.download.preflight=0 skips this check",
            )
        measured = {"sample": size, "fetched": failures.null_count(), "failed": failed}
        measured |= {"seconds": round(seconds, 2), "threads": threads}
        expected = forecast(measured, rows.height, options.threads * options.processes)
        write_json(folder / "forecast.json", measured | expected)

    stage.run(
        1,
        make,
        sharded=False,
        summarise=lambda shards: msgspec.json.decode((shards[0] / "forecast.json").read_bytes()),
    )
    context.progress.say(_message(stage.info(), rows.height))


def forecast(measured: Json, images: int, threads: int) -> Json:
    """Return what to expect of a whole list.

    Args:
        measured: Of the sample: its size (``sample``), ``fetched``, ``seconds``, ``threads``.
        images: Length of the list.
        threads: Threads that will fetch it.

    Returns:
        ``share_low`` and ``share_high``, the share that will be fetched (Wilson's 95 % interval);
        ``hours_low``, if the speed grows with the threads, and ``hours_high``, if it does not.
    """
    low, high = wilson(measured["fetched"], measured["sample"])
    hours = measured["seconds"] / measured["sample"] * images / 3600
    return {
        "share_low": round(low, 4),
        "share_high": round(high, 4),
        "hours_low": round(hours * min(1.0, measured["threads"] / threads), 4),
        "hours_high": round(hours, 4),
    }


def _message(expected: Json, images: int) -> str:
    low, high = expected["share_low"], expected["share_high"]
    return (
        f"preflight: {expected['fetched']} of {expected['sample']} images could be fetched; "
        f"expect {low * images:,.0f} to {high * images:,.0f} of {images:,}, after about "
        f"{format_durations(3600 * expected['hours_low'], 3600 * expected['hours_high'])} with one "
        "worker"
    )
