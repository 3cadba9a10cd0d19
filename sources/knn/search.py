"""Semantic retrieval: the images whose embeddings are nearest to the prompts of a class.

For every class and prompt an index of clip-retrieval is asked for k images (002, section 3, says
substrings; the authors' code has this second strategy: PROTOCOL, section 1).
"""

from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import polars as pl

from bench.core.arrays import FloatArray
from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins.source import Context
from bench.storage.stage import Stage
from sources.knn.index_folder import IndexFolder
from sources.knn.options import KnnOptions
from sources.knn.server import Server
from sources.pool.ambiguous import Ambiguous, resolve
from sources.pool.match_file import Matches
from sources.pool.scan import candidate_rows, labelled

CLASSES = 10
"""Classes of one shard: at most this many are asked for again after a kill, and a folder's
metadata is read once for all of them."""


class _Index(Protocol):
    """Where the nearest images are looked for."""

    @property
    def fingerprint(self) -> str:
        """What stands for its content."""

    def nearest(self, queries: FloatArray, k: int) -> pl.DataFrame:
        """Return query, similarity, url, caption and nsfw; a query's nearest first."""


def knn_fingerprints(options: KnnOptions, home: Home) -> dict[str, str]:
    """Return what the nearest images depend on: the index, and the CLIP that asks.

    Raises:
        RequestError: If any of it is not there, with the remedy.
    """
    return {
        "knn": _index(options).fingerprint,
        "knn_model": fingerprint(home.find_weights(options.model)),
    }


def nearest(options: KnnOptions, context: Context) -> Stage:
    """Return the finished search for the images nearest to every class's prompts.

    Each shard is of `CLASSES` classes. It holds ``hits.parquet`` (url, caption, nsfw, label and
    similarity, the largest cosine with one of the class's prompts; one row per address and class)
    and ``asked.parquet``, what was asked for and found per class.
    """
    index, k = _index(options), options.k
    task, names = context.task, context.task.class_names
    config = {
        "version": 1,
        "index": index.fingerprint,
        "model": fingerprint(context.home.find_weights(options.model)),
        "prompts": [[name, task.prompts(name)] for name in names],  # Their order makes the labels.
        "k": k,
    }
    stage = context.stage("knn", config)

    def make(shard: int, folder: Path) -> None:
        own = range(shard * CLASSES, min((shard + 1) * CLASSES, len(names)))
        prompts = [(label, text) for label in own for text in task.prompts(names[label])]
        labels = np.array([label for label, _ in prompts])
        queries = context.embedder(options.model).texts([text for _, text in prompts])
        answers = index.nearest(queries, k)
        found = answers.select(
            "url", "caption", "nsfw", pl.Series("label", labels[answers["query"]]), "similarity"
        )
        best = found.sort("similarity", "url", descending=(True, False)).unique(
            ["url", "label"], keep="first", maintain_order=True
        )
        best.write_parquet(folder / "hits.parquet")
        pl.DataFrame(
            {
                "label": own,
                "asked": [k * int((labels == label).sum()) for label in own],
                "found": [int((found["label"] == label).sum()) for label in own],
                "different": [int((best["label"] == label).sum()) for label in own],
            }
        ).write_parquet(folder / "asked.parquet")

    stage.run(-(-len(names) // CLASSES), make)
    return stage


def with_nearest(
    scanned: Stage | None, options: KnnOptions, ambiguous: Ambiguous, context: Context
) -> Stage:
    """Return the candidates that a search finds, with those of a finished scan if there is one.

    The stage has one shard with ``candidates.parquet``, as a scan's. An address that is near to
    several classes goes to the one it is most similar to; it is dropped; or it goes to all, as
    ``several`` says. What a caption names stands before what is near: for ``longest``, an address
    that the scan found keeps its class.

    Raises:
        RequestError: If there are no candidates.
    """
    found = nearest(options, context)
    inputs = [stage.output for stage in (scanned, found) if stage is not None]
    stage = context.stage("merge", {"version": 1, "ambiguous": ambiguous}, inputs)
    names = context.task.class_names

    def make(_: int, folder: Path) -> None:
        hits = _read(found, "hits")
        chosen, counts = _resolve(hits, ambiguous)
        near = candidate_rows(chosen, names)
        named = near.clear() if scanned is None else labelled(scanned, ambiguous)
        rows = _merged(named, near, ambiguous)
        if rows.is_empty():
            raise RequestError(
                f"the index has no image for task {context.task.name!r}",
                "raise source.knn.k, or choose another index",
            )
        rows.write_parquet(folder / "candidates.parquet")
        also = near.join(named, on="key", how="semi")["key"].n_unique()
        asked = _read(found, "asked")
        said = {**_totals(asked), **counts, "also found by caption": also}
        said["classes"] = _by_class(asked, near, names)
        (folder / "counts.json").write_bytes(msgspec.json.encode(said))

    # The one shard costs seconds, and the stages it reads are complete.
    stage.run(
        1,
        make,
        sharded=False,
        summarise=lambda shards: {
            **({} if scanned is None else scanned.info()),
            "knn": msgspec.json.decode((shards[0] / "counts.json").read_bytes()),
        },
    )
    return stage


def _index(options: KnnOptions) -> _Index:
    if options.url is not None:
        return Server(options.url, options.name)
    return IndexFolder(Path(options.index or ""))


def _read(stage: Stage, name: str) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(shard / f"{name}.parquet") for shard in stage.shards())


def _resolve(hits: pl.DataFrame, ambiguous: Ambiguous) -> tuple[pl.DataFrame, dict[str, int]]:
    """Decide as a scan does, with the similarity in place of the length of a spelling."""
    found = hits.select(
        pl.col("url").alias("row"),
        "label",
        pl.col("similarity").alias("score"),
        "url",
        "caption",
        "nsfw",
    )
    flagged = hits.is_empty() or hits["nsfw"].null_count() < hits.height
    chosen, counts = resolve(Matches(hits.height, flagged, found), ambiguous)
    return chosen, {name: count for name, count in counts.items() if name not in ("rows", "pairs")}


def _merged(named: pl.DataFrame, near: pl.DataFrame, ambiguous: Ambiguous) -> pl.DataFrame:
    rows = pl.concat([named, near])
    if ambiguous == "drop":
        rows = rows.filter(pl.col("label").n_unique().over("key") == 1)
    same = ["key", "label"] if ambiguous == "all" else ["key"]
    return rows.unique(same, keep="first", maintain_order=True).sort("key", maintain_order=True)


def _totals(asked: pl.DataFrame) -> Json:
    totals = asked.sum().row(0, named=True)
    return {
        "asked": totals["asked"],
        "found": totals["found"],
        "duplicates": totals["found"] - totals["different"],
    }


def _by_class(asked: pl.DataFrame, near: pl.DataFrame, names: tuple[str, ...]) -> Json:
    """Return, class by class, how many images were asked for, found, different, and candidates."""
    candidates = near.group_by("label").agg(candidates=pl.len())
    counts = asked.join(candidates, on="label", how="left").fill_null(0)
    return {names[row.pop("label")]: row for row in counts.iter_rows(named=True)}
