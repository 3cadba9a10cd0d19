"""Preflight: a sample of a long list is fetched first, to say what the whole will bring.

Links of web pools rot: the yield is not known before, and a download takes hours or days. So a
user learns both within a minute, and a mistake (no network, a wrong proxy) stops it there.
"""

import math
from pathlib import Path

import msgspec
import polars as pl

from bench.core.duration import format_durations
from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.plugins.source import Context
from bench.storage.stage import Stage
from sources.download.failures import count
from sources.download.fetch import fetch
from sources.download.options import DownloadOptions
from sources.pool.pool import Served

LONG = 10
"""A list is worth a preflight if it is this many times as long as the sample."""

PER_THREAD = 10
"""Images of the sample for each thread: with fewer, one slow server would set the pace."""

SEED = 0

_Z95 = 1.96


def preflight(
    rows: pl.DataFrame, scanned: Stage, options: DownloadOptions, context: Context, served: Served
) -> None:
    """Fetch a sample of a long list, once, and say what to expect of the whole.

    The stage notes the sample (``sample``, ``fetched``, ``failed`` by kind, ``seconds``,
    ``threads``) and the forecast.

    Raises:
        BenchError: If no image of the sample could be fetched.
    """
    size = options.preflight
    if not size or rows.height < LONG * size:
        return
    config = {"sample": size, "seed": SEED, "opt_outs": options.opt_outs}
    stage = context.stage("preflight", config, [scanned.output])
    threads = max(1, min(options.threads, size // PER_THREAD))
    few = msgspec.structs.replace(options, threads=threads, processes=1)

    def make(_: int, folder: Path) -> None:
        seconds = fetch(rows.sample(size, seed=SEED), folder, few, served)
        failures = pl.read_parquet(folder / "index.parquet")["failure"]
        failed = count(failures)
        if not failures.null_count():
            reasons = ", ".join(f"{times} {kind}" for kind, times in failed.items())
            raise BenchError(
                f"none of a sample of {size} images could be fetched: {reasons}",
                "check the network and the pool; source.preflight=0 goes on regardless",
            )
        found = {"sample": size, "fetched": failures.null_count(), "failed": failed}
        found |= {"seconds": round(seconds, 2), "threads": threads}
        found |= forecast(found, rows.height, options.threads * options.processes)
        (folder / "found.json").write_bytes(msgspec.json.encode(found))

    stage.run(
        1,
        make,
        sharded=False,
        summarise=lambda shards: msgspec.json.decode((shards[0] / "found.json").read_bytes()),
    )
    context.progress.say(_sentence(stage.info(), rows.height))


def forecast(measured: Json, images: int, threads: int) -> Json:
    """Return what to expect of a whole list.

    Args:
        measured: Of the sample: its size (``sample``), ``fetched``, ``seconds``, ``threads``.
        images: Length of the list.
        threads: Threads that will fetch it.

    Returns:
        ``yield_low`` and ``yield_high``, the share that will be fetched (Wilson's 95 % interval);
        ``hours_low``, if more threads are as much quicker, and ``hours_high``, if they are not.
    """
    low, high = wilson(measured["fetched"], measured["sample"])
    hours = measured["seconds"] / measured["sample"] * images / 3600
    return {
        "yield_low": round(low, 4),
        "yield_high": round(high, 4),
        "hours_low": round(hours * min(1.0, measured["threads"] / threads), 4),
        "hours_high": round(hours, 4),
    }


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion."""
    share, square = successes / trials, _Z95**2 / trials
    middle = share + square / 2
    spread = _Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return (middle - spread) / (1 + square), (middle + spread) / (1 + square)


def _sentence(expected: Json, images: int) -> str:
    low, high = expected["yield_low"], expected["yield_high"]
    return (
        f"preflight: {expected['fetched']} of {expected['sample']} images could be fetched; "
        f"expect {low * images:,.0f} to {high * images:,.0f} of {images:,}, after about "
        f"{format_durations(3600 * expected['hours_low'], 3600 * expected['hours_high'])} with one "
        "worker"
    )
