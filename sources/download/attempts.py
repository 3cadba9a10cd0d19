"""Further attempts at images whose failure may pass.

A download is a chain of stages. The first is an attempt at every image; each further one is an
attempt at those that the earlier ones failed to fetch for a reason that may pass. What was fetched
is never fetched again, and no finished stage changes. An attempt has begun once its plan is on
disk, so that every process, killed or not, continues it.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bench.core.files import read_parquet, write_json
from bench.core.json_values import Json
from bench.core.stage_names import DOWNLOAD
from bench.plugins.source import Context
from bench.storage.stage import Stage
from sources.download.failures import count_kinds, may_pass
from sources.download.options import DownloadOptions

PAUSE_S = 3600.0
"""Seconds after an attempt that was not the first before another begins unasked: the many runs of
a study that want too many images do not each pay for one."""

_LIMITS = "limits.json"
_TIMES = ("timeout_s", "deadline_s")


def begun(first: Stage, context: Context) -> list[Stage]:
    """Return the attempts that have begun, in order; only the last may be unfinished."""
    attempts = [first]
    while attempts[-1].done and (following := _following(attempts, context)).begun:
        attempts.append(following)
    return attempts


def begin(attempts: Sequence[Stage], shard_size: int, context: Context) -> bool:
    """Begin a further attempt after the last, which is finished.

    Returns:
        Whether there is an image whose failure may pass.
    """
    passing = _passing(attempts)
    if passing.is_empty():
        return False
    kinds = count_kinds(passing["failure"])
    reasons = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.items())
    context.progress.say(f"{passing.height:,} images that failed are tried again: {reasons}")
    _following(attempts, context).begin(-(-passing.height // shard_size))
    return True


def is_due(attempts: Sequence[Stage]) -> bool:
    """Return whether a further attempt may begin unasked, with the settings of the last."""
    last = attempts[-1]
    if not last.done or set(_passing(attempts)["failure"]) <= {"refused address"}:
        return False
    finished = (last.folder / "done.json").stat().st_mtime
    return len(attempts) == 1 or time.time() - finished > PAUSE_S


def may_be_mended(attempts: Sequence[Stage], options: DownloadOptions) -> bool:
    """Return whether options allow what the last attempt did not, and images failed for it."""
    kinds = set(failures(attempts)["failure"].drop_nulls())
    limits = [_read_limits(shard) for shard in attempts[-1].shards()]
    if "refused address" in kinds:
        allowed = [set(limit.get("allow_private", ())) for limit in limits]
        if any(set(options.allow_private) - each for each in allowed):
            return True
    if "timeout" in kinds:
        times = [
            (limit.get(name, 0), getattr(options, name)) for limit in limits for name in _TIMES
        ]
        return any(now > then for then, now in times)
    return False


def wanted(attempts: Sequence[Stage], rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows (with a key) that the last of some attempts is to fetch."""
    if len(attempts) == 1:
        return rows
    return rows.join(_passing(attempts[:-1]), on="key", how="semi", maintain_order="left")


def failures(attempts: Sequence[Stage]) -> pl.DataFrame:
    """Return key and failure (null for a fetched image) of finished attempts; the last counts."""
    shards = (shard / "index.parquet" for attempt in attempts for shard in attempt.shards())
    rows = pl.concat(read_parquet(index, columns=["key", "failure"]) for index in shards)
    return rows.unique("key", keep="last", maintain_order=True)


def write_limits(shard: Path, options: DownloadOptions) -> None:
    """Note in a shard which of the options that can mend a failure it was fetched with."""
    limits = {name: getattr(options, name) for name in ("allow_private", *_TIMES)}
    write_json(shard / _LIMITS, limits)


def _read_limits(shard: Path) -> Json:
    """Return what `write_limits` noted; nothing for a shard of an earlier version."""
    path = shard / _LIMITS
    limits: Json = json.loads(path.read_bytes()) if path.is_file() else {}
    return limits


def _passing(attempts: Sequence[Stage]) -> pl.DataFrame:
    """Return key and failure of the images that failed for a reason that may pass."""
    failed = failures(attempts).drop_nulls()
    kinds = [kind for kind in failed["failure"].unique() if may_pass(kind)]
    return failed.filter(pl.col("failure").is_in(kinds))


def _following(attempts: Sequence[Stage], context: Context) -> Stage:
    return context.stage(DOWNLOAD, {"attempt": len(attempts) + 1}, [attempts[-1].output])
