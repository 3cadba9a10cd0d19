"""Scan: one streaming pass over a pool's captions finds every pair that names a class.

The rule is the paper's (002, section 3): a pair is kept if its caption contains a class name as
a substring, ignoring ASCII case, and takes that class's label. A caption that names several
classes goes to the longest name, which settles names contained in one another; a tie is dropped.
"""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl

from bench.errors import BenchError
from bench.stage import Stage
from bench.types import Context, Task
from sources._pool import NSFW_DROPPED, Pool

_WEB_ADDRESS = "(?i)^https?://"

COLUMNS = {"url": "URL", "caption": "TEXT", "nsfw": "NSFW"}


def scan(pool: Pool, task: Task, context: Context) -> Stage:
    """Return the finished scan of a pool for a task's classes; one shard per Parquet file.

    Each shard holds ``candidates.parquet`` (key, url, caption, label, class_name) and the counts
    of what was matched and dropped.
    """
    queries = {name: task.query(name).lower() for name in task.class_names}
    files = pool.files()
    stage = Stage(
        context.home.data,
        "scan",
        {
            "pool": pool.pin,
            "classes": task.class_names,  # Their order makes the labels.
            "queries": queries,
            "rule": "web addresses, substring, longest name, ties dropped",
        },
    )

    def make(index: int, folder: Path) -> None:
        found = _matches(files[index], sorted(set(queries.values())))
        fetchable = found.filter(pl.col("url").str.contains(_WEB_ADDRESS))
        decided = _decide(fetchable, task)
        flagged = pl.col("nsfw").is_in(NSFW_DROPPED).fill_null(False)
        safe = decided.filter(~flagged)
        safe.drop("nsfw").write_parquet(folder / "candidates.parquet")
        counts = {
            "rows": pl.scan_parquet(files[index]).select(pl.len()).collect().item(),
            "matched": found.height,
            "no web address": found.height - fetchable.height,
            "several classes, no longest": fetchable.height - decided.height,
            "flagged NSFW or UNSURE": decided.height - safe.height,
        }
        pl.DataFrame([counts]).write_parquet(folder / "counts.parquet")

    stage.run(len(files), make, context.progress, only=context.shards, summarise=_total_counts)
    return stage


def candidates(stage: Stage) -> pl.DataFrame:
    """Return the candidates of a finished scan, one row per URL, in order of key."""
    rows = pl.concat(pl.read_parquet(shard / "candidates.parquet") for shard in stage.shards())
    return rows.unique("key", keep="first", maintain_order=True).sort("key")


def _total_counts(shards: list[Path]) -> dict[str, Any]:
    counts = pl.concat(pl.read_parquet(shard / "counts.parquet") for shard in shards)
    return dict(counts.sum().row(0, named=True))


def _matches(file: Path, queries: list[str]) -> pl.DataFrame:
    """Return the pairs whose caption contains a query, with all the queries it contains."""
    caption = pl.col("caption")
    try:
        return (
            pl.scan_parquet(file)
            .select(pl.col(column).alias(name) for name, column in COLUMNS.items())
            .filter(caption.str.contains_any(queries, ascii_case_insensitive=True))
            .with_columns(
                caption.str.extract_many(queries, ascii_case_insensitive=True, overlapping=True)
                .list.eval(pl.element().str.to_lowercase())
                .list.unique()
                .alias("found")
            )
            .collect(engine="streaming")
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BenchError(
            f"cannot scan {file}: {error}", "a pool's files need the columns URL, TEXT and NSFW"
        ) from error


def _decide(found: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Give each pair the class of the longest query it contains; drop ties."""
    classes: dict[str, list[str]] = {}
    for name in task.class_names:
        classes.setdefault(task.query(name).lower(), []).append(name)
    # A query that two classes share is a tie by itself.
    owner = {query: names[0] for query, names in classes.items() if len(names) == 1}
    labels = {name: label for label, name in enumerate(task.class_names)}
    length = pl.element().str.len_chars()
    longest = pl.col("found").list.eval(pl.element().filter(length == length.max()))
    return (
        found.with_columns(longest.alias("found"))
        .filter(pl.col("found").list.len() == 1)
        .with_columns(
            pl.col("found")
            .list.first()
            .replace_strict(list(owner), list(owner.values()), default=None, return_dtype=pl.String)
        )
        .rename({"found": "class_name"})
        .drop_nulls("class_name")
        .select(
            pl.col("url").map_elements(_key, return_dtype=pl.String).alias("key"),
            "url",
            "caption",
            pl.col("class_name").replace_strict(labels, return_dtype=pl.Int64).alias("label"),
            "class_name",
            "nsfw",
        )
    )


def _key(url: str) -> str:
    """Name an image by its URL, the same on every machine."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
