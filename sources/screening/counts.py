"""What was left of each class after each step of retrieval, and why the rest was not."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl


def by_class(
    class_names: Sequence[str | None],
    matched: pl.DataFrame,
    failures: pl.DataFrame,
    **steps: pl.DataFrame,
) -> dict[str | None, dict[str, Any]]:
    """Return, class by class, how many images each step left.

    Args:
        class_names: All classes, and None for what has none; one without any image has its zeros.
        matched: What was asked for: key and class_name.
        failures: What the download made of it: key and failure, null for an image that is there.
        steps: Name of each later step to the rows it left, with their keys.

    Returns:
        Class name to ``matched``, ``fetched``, the steps' names, and ``failed`` (kind to count).
    """
    classes = matched.select("key", "class_name")
    outcome = failures.join(classes, on="key", how="left")
    failed: dict[str | None, dict[str, int]] = {name: {} for name in class_names}
    lost = outcome.drop_nulls("failure").group_by("class_name", "failure").len()
    for name, kind, times in lost.sort("len", "failure", descending=True).iter_rows():
        failed[name][kind] = times
    left: Mapping[str, pl.DataFrame] = {
        "matched": matched,
        "fetched": outcome.filter(pl.col("failure").is_null()),
        **steps,
    }
    counts = {step: _count(rows, classes) for step, rows in left.items()}
    return {
        name: {**{step: counts[step].get(name, 0) for step in left}, "failed": failed[name]}
        for name in class_names
    }


def _count(rows: pl.DataFrame, classes: pl.DataFrame) -> dict[str | None, int]:
    counted = classes.join(rows.select("key"), on="key", how="semi").group_by("class_name").len()
    return dict(counted.iter_rows())
