"""Real images retrieved from the generator's own upstream pool (002, section 3).

scan → download → embed → filter by similarity with the domain → de-duplicate. Before the
download, an index's nearest images may join or replace what the scan found.
"""

from typing import Any

import polars as pl

from bench.core.files import fingerprint
from bench.core.paths import Home
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage
from sources.download.download import download, failures
from sources.knn.options import KnnOptions
from sources.knn.search import knn_fingerprints, with_nearest
from sources.pool.ambiguous import Ambiguous
from sources.pool.matcher import Matcher
from sources.pool.pool import MINIWORLD, Pool
from sources.pool.scan import candidates, require_complete, scan, with_labels
from sources.screening.audit import write_filtering, write_removed
from sources.screening.counts import by_class
from sources.screening.dedup import drop_duplicates
from sources.screening.embed import embed
from sources.screening.filter import passes, scored


@sources.register("retrieved")
class Retrieved:
    """Pairs whose caption names a class and whose image looks like the domain."""

    class Options(KnnOptions, frozen=True, kw_only=True):
        """Which pool, which filter."""

        pool: str
        """Name, path or URL of a folder of Parquet files; retrieval=knn does not read it."""
        matcher: Matcher = "substring"
        """How queries are compared with captions; substring is the paper's (002, section 3)."""
        ambiguous: Ambiguous = "longest"
        """What becomes of a caption that names several classes."""
        allow_incomplete: bool = False
        """Go on without the files that could not be scanned; the counts name them."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that take long."""
        found = {"captions": ["scan"], "knn": ["knn"]}.get(self.options.retrieval, ["scan", "knn"])
        return (*((name,) for name in found), ("merge", "preflight", "download"), ("embed",))

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of the pool, of the index and of the weights."""
        found = {"filter_model": fingerprint(home.find_weights(self.options.filter_model))}
        if self.options.retrieval != "knn":
            found |= {"pool": Pool.find(self.options.pool, home).fingerprint}
        if self.options.retrieval != "captions":
            found |= knn_fingerprints(self.options, home)
        return found

    def scan(self, context: Context) -> Stage:
        """Return the finished scan of the pool, complete or not."""
        pool = Pool.find(self.options.pool, context.home)
        return scan(pool, context.task, context, self.options.matcher, self.options.ambiguous)

    def collect(self, context: Context) -> ImageSet:
        """Return every pair that passes.

        Raises:
            BenchError: If files of the pool could not be scanned, and that is not allowed.
        """
        pool, scanned = self._pool(context.home), self._candidates(context)
        fetched = download(pool, scanned, self.options, context)
        embedded = embed(fetched, self.options.filter_model, context)
        matched = candidates(scanned)
        images = scored([embedded], self.options, context, matched.select("key", "label"))
        passing = passes(images, self.options)
        unique = drop_duplicates(images.filter(passing), context)
        kept = unique.rows
        rows = with_labels(kept.drop("label"), scanned, self.options.ambiguous).with_columns(
            origin=pl.lit("retrieved"), seed=pl.lit(None, pl.Int64)
        )
        counts: dict[str, Any] = {
            **scanned.info(),
            "matched": matched.height,
            **fetched.info(),
            "decodable": images.height,
            self.options.complaint: images.height - int(passing.sum()),
            "duplicates": unique.counts,
            "kept": rows.height,
            "classes": by_class(
                context.task.class_names, matched, failures(fetched), decodable=images, kept=kept
            ),
        }
        retrieval = self.options.retrieval
        options = {"pool": self.options.pool, "retrieval": retrieval, **self.options.rule}
        found = ImageSet.write(context.home.data, rows, context.task, "retrieved", options, counts)
        write_filtering(found, images, passing)
        write_removed(found, images, unique.removed, context)
        return found

    def _pool(self, home: Home) -> Pool:
        name = self.options.pool
        if self.options.retrieval == "knn" and name != MINIWORLD:
            return Pool(name, home.root)  # Its files are not read, and need not be there.
        return Pool.find(name, home)

    def _candidates(self, context: Context) -> Stage:
        """Return the stage that holds what to download."""
        scanned = None
        if self.options.retrieval != "knn":
            scanned = self.scan(context)
            if not self.options.allow_incomplete:
                require_complete(scanned)
            if self.options.retrieval == "captions":
                return scanned
        return with_nearest(scanned, self.options, self.options.ambiguous, context)
