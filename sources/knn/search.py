"""Search an index for the images whose embeddings are nearest to a class's prompts.

For every class and prompt an index of clip-retrieval returns k images (Geng 2024, section 3, says
substrings; this second strategy is in Geng 2024, code).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import polars as pl

from bench.core.arrays import FloatArray
from bench.core.errors import RequestError
from bench.core.files import fingerprint, read_parquet, write_json
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.stage_names import KNN, MERGE
from bench.core.task import Task
from bench.plugins.source import Context
from bench.storage.stage import Stage
from sources.knn.index_folder import IndexFolder
from sources.knn.options import KnnOptions
from sources.knn.server import KnnServer
from sources.pool.ambiguous import Ambiguous, resolve
from sources.pool.flags import FLAGS, MAX_PUNSAFE, say_unflagged
from sources.pool.match_file import Matches
from sources.pool.scan import candidate_rows, labelled

CLASSES_PER_SHARD = 10
"""A kill costs the search for this many classes at most, and a folder's metadata is read once for
all of them."""


class _Index(Protocol):
    """Where the nearest images are searched."""

    @property
    def fingerprint(self) -> str:
        """What identifies its content."""

    def nearest(self, queries: FloatArray, k: int) -> pl.DataFrame:
        """Return query, similarity, url, caption and flags; a query's nearest first."""


def knn_fingerprints(options: KnnOptions, home: Home) -> dict[str, Callable[[], str]]:
    """Return what computes the fingerprints of the index and of the CLIP that embeds the prompts.

    They raise RequestError if it does not exist, with the remedy.
    """
    return {
        "knn": lambda: _open_index(options).fingerprint,
        "knn_model": lambda: fingerprint(home.find_clip(options.model)),
    }


def search(options: KnnOptions, context: Context) -> Stage:
    """Return the finished search for the images nearest to every class's prompts.

    Each shard is of `CLASSES_PER_SHARD` classes. It holds ``hits.parquet`` (url, caption, flags,
    label and similarity, the largest cosine with one of the class's prompts; one row per URL and
    class). ``counts.parquet`` says per class how many images were requested and returned, and how
    many of these are distinct.
    """
    index, k = _open_index(options), options.k
    task, names = context.task, context.task.class_names
    config = {
        "version": 3,
        "index": index.fingerprint,
        "model": fingerprint(context.home.find_clip(options.model)),
        "prompts": [[name, task.prompts(name)] for name in names],  # Their order makes the labels.
        "k": k,
    }
    stage = context.stage(KNN, config)

    def make(shard: int, folder: Path) -> None:
        start = shard * CLASSES_PER_SHARD
        classes = range(start, min(start + CLASSES_PER_SHARD, len(names)))
        prompts = [(label, text) for label in classes for text in task.prompts(names[label])]
        labels = np.array([label for label, _ in prompts])
        queries = context.embedder(options.model).texts([text for _, text in prompts])
        nearest = index.nearest(queries, k)
        returned = nearest.select(
            "url", "caption", *FLAGS, pl.Series("label", labels[nearest["query"]]), "similarity"
        )
        hits = returned.sort("similarity", "url", descending=(True, False)).unique(
            ["url", "label"], keep="first", maintain_order=True
        )
        hits.write_parquet(folder / "hits.parquet")
        pl.DataFrame(
            {
                "label": classes,
                "requested": [k * int((labels == label).sum()) for label in classes],
                "returned": [int((returned["label"] == label).sum()) for label in classes],
                "distinct": [int((hits["label"] == label).sum()) for label in classes],
            }
        ).write_parquet(folder / "counts.parquet")

    stage.run(search_shards(task), make)
    return stage


def search_shards(task: Task) -> int:
    """Return how many shards the search for a task's classes has."""
    return -(-len(task.class_names) // CLASSES_PER_SHARD)


def merge_candidates(
    scanned: Stage | None,
    options: KnnOptions,
    ambiguous: Ambiguous,
    context: Context,
    max_punsafe: float = MAX_PUNSAFE,
) -> Stage:
    """Return the candidates of a search, merged with those of a finished scan if there is one.

    The stage has one shard with ``candidates.parquet``, as a scan's. A URL that is near to several
    classes goes to the one it is most similar to, is dropped, or goes to all, as ``ambiguous``
    says. The class that a caption names has priority over the nearest class: for ``longest``, a URL
    that the scan found keeps its class.

    Raises:
        RequestError: If there are no candidates.
    """
    searched = search(options, context)
    inputs = [stage.output for stage in (scanned, searched) if stage is not None]
    config = {"version": 3, "ambiguous": ambiguous, "max_punsafe": max_punsafe}
    stage = context.stage(MERGE, config, inputs)
    names = context.task.class_names

    def make(_: int, folder: Path) -> None:
        kept, dropped = _resolve(_read(searched, "hits"), ambiguous, max_punsafe)
        near = candidate_rows(kept, names)
        matched = near.clear() if scanned is None else labelled(scanned, ambiguous)
        rows = _merge(matched, near, ambiguous)
        if rows.is_empty():
            raise RequestError(
                f"the index has no image for task {context.task.name!r}",
                "raise source.knn.k, or choose another index",
            )
        rows.write_parquet(folder / "candidates.parquet")
        also_matched = near.join(matched, on="key", how="semi")["key"].n_unique()
        by_class = _read(searched, "counts")
        counts = {**_totals(by_class), **dropped, "also matched by caption": also_matched}
        counts["classes"] = _counts_by_class(by_class, near, names)
        write_json(folder / "counts.json", counts)

    # The one shard takes seconds, and the stages it reads are complete.
    stage.run(
        1,
        make,
        sharded=False,
        summarise=lambda shards: {
            **({} if scanned is None else scanned.info()),
            "knn": msgspec.json.decode((shards[0] / "counts.json").read_bytes()),
        },
    )
    counts = stage.info()["knn"]
    say_unflagged(counts, counts["returned"] - counts["duplicates"], context.progress)
    return stage


def _open_index(options: KnnOptions) -> _Index:
    if options.url is not None:
        return KnnServer(options.url, options.name)
    return IndexFolder(Path(options.index or ""))


def _read(stage: Stage, name: str) -> pl.DataFrame:
    return pl.concat(read_parquet(shard / f"{name}.parquet") for shard in stage.shards())


def _resolve(
    hits: pl.DataFrame, ambiguous: Ambiguous, max_punsafe: float
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Decide as a scan does; the similarity is the score."""
    pairs = hits.with_columns(row="url", score="similarity")
    known = pl.any_horizontal(pl.col(*FLAGS).is_not_null())
    has_flag = hits.is_empty() or not hits.filter(known).is_empty()
    kept, counts = resolve(Matches(hits.height, has_flag, pairs), ambiguous, max_punsafe)
    return kept, {name: count for name, count in counts.items() if name not in ("rows", "pairs")}


def _merge(matched: pl.DataFrame, near: pl.DataFrame, ambiguous: Ambiguous) -> pl.DataFrame:
    rows = pl.concat([matched, near])
    if ambiguous == "drop":
        rows = rows.filter(pl.col("label").n_unique().over("key") == 1)
    same = ["key", "label"] if ambiguous == "all" else ["key"]
    return rows.unique(same, keep="first", maintain_order=True).sort("key", maintain_order=True)


def _totals(by_class: pl.DataFrame) -> Json:
    totals = by_class.sum().row(0, named=True)
    return {
        "requested": totals["requested"],
        "returned": totals["returned"],
        "duplicates": totals["returned"] - totals["distinct"],
    }


def _counts_by_class(by_class: pl.DataFrame, near: pl.DataFrame, names: tuple[str, ...]) -> Json:
    """Return per class how many images were requested, returned, distinct, and candidates."""
    candidates = near.group_by("label").agg(candidates=pl.len())
    counts = by_class.join(candidates, on="label", how="left").fill_null(0)
    return {names[row.pop("label")]: row for row in counts.iter_rows(named=True)}
