"""Precision and recall of retrieval, by the truth about the pool; no source may read it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bench.miniworld.pool import PLACEHOLDER_HOST, TruthRow, read_truth


def retrieval_curve(
    index: pl.DataFrame, domain: str, world: Path, taus: Sequence[float]
) -> pl.DataFrame:
    """Return precision and recall of a retrieved set at each threshold.

    Copies were dropped before the threshold here and are dropped after it in a run, which may
    then keep another copy of the same image.

    Args:
        index: Rows with ``url``, ``class_name`` and ``clip_score``, retrieved without a threshold.
        domain: The domain that was retrieved for.
        world: The folder that `build_pool` wrote.
        taus: Thresholds; a row is kept above it.

    Returns:
        A row per tau: ``tau``; ``kept``, images; ``domain_precision``, the share of them that
        truly show a class of the domain, which toys and drawings of one do not;
        ``class_precision``, the share that show the class they are labelled with (both 0 where
        nothing is kept); ``recall``, the share of the pool's fetchable images of the domain's
        classes that is kept.

    Raises:
        ValueError: The folder holds no complete pool.
    """
    truth = pl.DataFrame(read_truth(world), schema=list(TruthRow._fields), orient="row")
    truth = truth.with_columns(
        pl.format("http://{}/{}", pl.lit(PLACEHOLDER_HOST), "path").alias("url")
    )
    shown = truth.filter((pl.col("domain") == domain) & (pl.col("status") == "ok")).height
    in_domain = pl.col("domain") == domain
    judged = (
        index.select("url", "class_name", "clip_score")
        .join(truth, on="url")
        .sort("clip_score", descending=True)
        .select("clip_score", in_domain, right=in_domain & (pl.col("name") == pl.col("class_name")))
    )
    # The rows kept at a tau come first, so that running sums give the counts at all taus.
    kept = np.searchsorted(-judged["clip_score"].to_numpy(), -np.asarray(taus), side="left")
    domain_sums, right_sums = (
        np.concatenate([[0], judged[column].cast(pl.Int64).to_numpy().cumsum()])[kept]
        for column in ("domain", "right")
    )
    some = np.maximum(kept, 1)
    return pl.DataFrame(
        {
            "tau": list(taus),
            "kept": kept,
            "domain_precision": domain_sums / some,
            "class_precision": right_sums / some,
            "recall": domain_sums / max(shown, 1),
        }
    )
