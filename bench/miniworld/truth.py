"""What retrieval got right, by the truth about the pool; no source may look at this."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench.miniworld.pool import PLACEHOLDER_HOST, TruthRow, read_truth


@dataclass(frozen=True)
class RetrievalQuality:
    """How good a retrieved set is.

    Attributes:
        kept: Images in the set.
        domain_precision: Share of them that show the domain.
        class_precision: Share of them that show the class they are labelled with.
        recall: Share of the pool's fetchable images of the domain's classes that are in the set.
    """

    kept: int
    domain_precision: float
    class_precision: float
    recall: float


def retrieval_quality(index: pl.DataFrame, domain: str, world: Path) -> RetrievalQuality:
    """Judge a retrieved set by the truth.

    Args:
        index: Rows with ``url`` and ``class_name``.
        domain: The domain that was retrieved for.
        world: The folder that `build_pool` wrote.
    """
    truth = pl.DataFrame(read_truth(world), schema=list(TruthRow._fields), orient="row")
    truth = truth.with_columns(
        pl.format("http://{}/{}", pl.lit(PLACEHOLDER_HOST), "path").alias("url")
    )
    shown = truth.filter((pl.col("domain") == domain) & (pl.col("status") == "ok"))
    kept = index.select("url", "class_name").join(truth, on="url")
    in_domain = kept.filter(pl.col("domain") == domain)
    right = in_domain.filter(pl.col("name") == pl.col("class_name"))
    return RetrievalQuality(
        kept=kept.height,
        domain_precision=in_domain.height / max(kept.height, 1),
        class_precision=right.height / max(kept.height, 1),
        recall=in_domain.height / max(shown.height, 1),
    )
