"""Real images retrieved from the generator's own upstream pool (Geng 2024, section 3).

scan → download → embed → filter by similarity with the domain → de-duplicate. Before the
download, an index's nearest images may join or replace the scan's candidates.
"""

from typing import Any, Literal

import msgspec
import polars as pl

from bench.core.config import Config, Fraction, PoolText
from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json
from bench.core.missing import together
from bench.core.paths import Home
from bench.core.stage_names import DOWNLOAD, EMBED, KNN, MERGE, PREFLIGHT, SCAN
from bench.core.task import Task
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage, UnfinishedError
from sources.download import attempts
from sources.download.download import download, first_attempt
from sources.download.failures import count_kinds
from sources.download.options import DownloadOptions
from sources.knn.options import KnnOptions
from sources.knn.search import knn_fingerprints, merge_candidates, search_shards
from sources.pool.ambiguous import Ambiguous
from sources.pool.flags import MAX_PUNSAFE
from sources.pool.matcher import Matcher, Queried, with_queries
from sources.pool.pool import MINIWORLD, Pool
from sources.pool.scan import candidates, require_complete, scan, with_labels
from sources.screening.audit import write_copies, write_filtering
from sources.screening.counts import by_class
from sources.screening.dedup import drop_duplicates
from sources.screening.embed import embed
from sources.screening.filter import scored
from sources.screening.losses import commonest_loss
from sources.screening.rules import Rule


@sources.register("retrieved")
class Retrieved:
    """Pairs whose caption names a class and whose image looks like the domain."""

    paired = False

    class Options(Config, frozen=True, kw_only=True):
        """Which pool, how its images are found and fetched, and which are kept."""

        pool: PoolText
        """Name, path or URL of a pool (docs/retrieval.md): a folder of Parquet files of addresses,
        or of tars, Parquet files or pictures that hold the images; retrieval=knn does not read
        it."""
        matcher: Matcher = "substring"
        """How queries are compared with captions; substring is the paper's (Geng 2024, section
        3)."""
        queries: Queried = "task"
        """What is looked for: the queries of the task, or literal, its class names as prompts have
        them (Geng 2024, section 3)."""
        ambiguous: Ambiguous = "longest"
        """What becomes of a caption that names several classes."""
        max_punsafe: Fraction = MAX_PUNSAFE
        """Highest probability of being unsafe, where the pool has a column punsafe; 0.1 is that of
        Stable Diffusion 2's training data (its model card)."""
        allow_incomplete: bool = False
        """Go on without the files that could not be scanned; the counts name them."""
        retrieval: Literal["captions", "knn", "both"] = "captions"
        """What finds candidates: captions that name a class; the images of a clip-retrieval index
        that are nearest to a class's prompts; or both."""
        knn: KnnOptions | None = None
        """The index; None for retrieval=captions."""
        download: DownloadOptions = DownloadOptions()
        images: ImageFormat = ImageFormat()
        filter: Rule

        @classmethod
        def complete(cls, values: Json) -> Json:
            """Return values with the filter's CLIP for the index, where no other is given."""
            knn, rule = values.get("knn"), values.get("filter")
            if not isinstance(knn, dict) or not isinstance(rule, dict) or knn.get("model"):
                return values
            return {**values, "knn": {**knn, "model": rule.get("model")}}

        def __post_init__(self) -> None:
            if self.knn is not None and self.retrieval == "captions":
                raise ValueError(
                    "knn means nothing to retrieval=captions; "
                    "leave it out, or add --set source.retrieval=knn"
                )
            if self.knn is None and self.retrieval != "captions":
                raise ValueError(
                    f"retrieval={self.retrieval} needs knn.url, a server, or knn.index, a folder"
                )

    def __init__(self, options: Options) -> None:
        self.options = options
        self.images = options.images

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that take long."""
        by_retrieval = {"captions": [(SCAN,)], "knn": [(KNN,)], "both": [(SCAN,), (KNN,)]}
        search = by_retrieval[self.options.retrieval]
        return (*search, (MERGE, PREFLIGHT, DOWNLOAD), (EMBED,))

    def most_shards(self, stage: str, context: Context) -> int:
        """Return how many shards of a stage there are to make side by side.

        Raises:
            BenchError: If it is not known what there is to download.
        """
        if stage == SCAN:
            return len(self.pool(context.home).files())
        if stage == KNN:
            return search_shards(context.task)
        rows = candidates(self._candidates(context)).height
        return -(-rows // self.options.download.shard_size)

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of the pool, of the index and of the weights."""
        options = self.options
        parts = {"filter_model": lambda: fingerprint(home.find_clip(options.filter.model))}
        if options.retrieval != "knn":
            parts["pool"] = lambda: self.pool(home).fingerprint
        if options.knn is not None:
            parts |= knn_fingerprints(options.knn, home)
        return together(parts)

    def notes(self, home: Home) -> list[str]:
        """Return what the pool is where it holds its images, and which files are not read."""
        if self.options.retrieval == "knn":
            return []
        pool = self.pool(home)
        held = [f"the pool {pool.name} has {pool.what}: nothing is downloaded"]
        return [*(held if pool.holds_images else []), *pool.notes()]

    def scan(self, context: Context) -> Stage:
        """Return the finished scan of the pool, complete or not."""
        options, task = self.options, self.queried(context.task)
        pool = self.pool(context.home)
        return scan(pool, task, context, options.matcher, options.ambiguous, options.max_punsafe)

    def queried(self, task: Task) -> Task:
        """Return a task with the queries that captions are compared with."""
        return with_queries(task, self.options.queries)

    def collect(self, context: Context) -> ImageSet:
        """Return every pair that passes.

        Where they are too few, what an earlier command failed to fetch is tried once more.

        Raises:
            BenchError: If files of the pool could not be scanned, and that is not allowed.
        """
        before = self._attempts(context)
        is_due = attempts.is_due(before)
        images = self._collected(context)
        after = self._attempts(context)
        # An attempt that was made just now, because a setting allows more, was the one.
        if is_due and len(after) == len(before) and len(images) < (context.n or 1):
            attempts.begin(after, self.options.download.shard_size, context)
            images = self._collected(context)
        return images

    def retry_failed(self, context: Context) -> bool:
        """Begin a further attempt at the images whose download failed for a reason that may pass.

        Returns:
            Whether there is anything to try; not before the first attempt is finished.
        """
        try:
            tried = self._attempts(context)
        except UnfinishedError:
            return False
        if tried[-1].done:
            return attempts.begin(tried, self.options.download.shard_size, context)
        return len(tried) > 1

    def _attempts(self, context: Context) -> list[Stage]:
        """Return the attempts at a download that have begun."""
        options, scanned = self.options.download, self._candidates(context)
        return attempts.begun(first_attempt(scanned, options, self.images, context), context)

    def _collected(self, context: Context) -> ImageSet:
        pool, scanned = self.pool(context.home), self._candidates(context)
        fetched = download(pool, scanned, self.options.download, self.images, context)
        embedded = [embed(stage, self.options.filter.model, context) for stage in fetched]
        matched, failures = candidates(scanned), attempts.failures(fetched)
        rule = self.options.filter
        images = scored(embedded, rule, context, matched.select("key", "label")).sort("key")
        passing = rule.passes(images)
        unique = drop_duplicates(images.filter(passing), context, drop_train=rule.drop_train_copies)
        kept = unique.rows
        rows = with_labels(kept.drop("label"), scanned, self.options.ambiguous).with_columns(
            origin=pl.lit("retrieved"), seed=pl.lit(None, pl.Int64)
        )
        counts: dict[str, Any] = {
            **scanned.info(),
            "matched": matched.height,
            "fetched": failures["failure"].null_count(),
            "failed": count_kinds(failures["failure"]),
            "decodable": images.height,
            rule.dropped: images.height - int(passing.sum()),
            "duplicates": unique.counts,
            "kept": rows.height,
            "classes": by_class(
                context.task.class_names, matched, failures, decodable=images, kept=kept
            ),
        }
        options = {name: getattr(self.options, name) for name in ("pool", "retrieval")}
        options["filter"] = msgspec.to_builtins(rule)
        loss = commonest_loss(counts, rule.dropped, matched, failures)
        kept_set = ImageSet.write(
            context.home.data, rows, context.task, "retrieved", options, counts, loss
        )
        write_filtering(kept_set, images, passing)
        write_copies(kept_set, images, unique.copies, context)
        return kept_set

    def pool(self, home: Home) -> Pool:
        """Return the pool.

        Raises:
            RequestError: If there is none, or it does not suit the retrieval.
        """
        name = self.options.pool
        if self.options.retrieval == "knn" and name != MINIWORLD:
            return Pool(name, home.root)  # Its files are not read, and need not be there.
        pool = Pool.find(name, home)
        if pool.holds_images and self.options.retrieval == "both":
            raise RequestError(
                f"retrieval=both means nothing to the pool {name!r}, {pool.what}: what an index "
                "finds has addresses",
                "use --set source.retrieval=captions, or a pool of addresses",
            )
        return pool

    def _candidates(self, context: Context) -> Stage:
        """Return the stage that holds what to download."""
        options = self.options
        if options.knn is None:
            return self._complete_scan(context)
        scanned = self._complete_scan(context) if options.retrieval == "both" else None
        return merge_candidates(
            scanned, options.knn, options.ambiguous, context, options.max_punsafe
        )

    def _complete_scan(self, context: Context) -> Stage:
        scanned = self.scan(context)
        if not self.options.allow_incomplete:
            require_complete(scanned)
        return scanned
