"""Pools of a few rows, and a context to scan and download them in."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Queries, Query, Task
from bench.plugins.source import Context, Embedder
from bench.storage.stage import Stage
from sources.pool.ambiguous import Ambiguous
from sources.pool.pool import Pool
from sources.pool.scan import candidates, scan

Row = tuple[str | None, str | None, str | None]
"""URL, caption and NSFW flag."""


def no_embedder(name: str) -> Embedder:
    raise AssertionError(f"no model is needed here, but {name} was loaded")


def context(home: Home, task: Task, progress: Progress | None = None) -> Context:
    return Context(home, task, None, 0, no_embedder, progress or Progress(quiet=True))


def flowers(*names: str, **queries: str | tuple[str, ...] | Query) -> Task:
    """A task of some classes, whose queries are their names where none are given."""
    given: Queries = queries
    return Task(
        name="flowers-of-the-test", version=1, class_names=names, templates=("a {}",),
        domain_texts=("a flower",), queries=given,
    )  # fmt: skip


def write_pool(folder: Path, rows: Sequence[Row], files: int = 1) -> Pool:
    """Write rows to a folder, in turn to each of some files."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = {"URL": pl.String, "TEXT": pl.String, "NSFW": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    for index in range(files):
        table[index::files].write_parquet(folder / f"{index}.parquet")
    return Pool(str(folder), folder)


TASK = flowers("rose", "lily")


def scan_pool(home: Home, pool: Pool, task: Task = TASK, ambiguous: Ambiguous = "longest") -> Stage:
    return scan(pool, task, context(home, task), ambiguous=ambiguous)


def classes(stage: Stage, task: Task = TASK) -> dict[str, str]:
    """Return URL to class name of a scan's candidates."""
    rows = candidates(stage)
    assert rows["label"].to_list() == [task.class_names.index(name) for name in rows["class_name"]]
    return dict(rows.select("url", "class_name").iter_rows())
