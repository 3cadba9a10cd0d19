"""What another seed changed: the order of training, the subset of the images, the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.core.size import format_size
from results.statistics.paired import ENOUGH_SEEDS
from results.wording import percent, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

_ALMOST_ALL = 0.9
"""Share of a set from which two of its subsets are the same images but for a tenth."""


def what_seeds_varied(runs: pd.DataFrame) -> list[str]:
    """Return where a seed varied something else than the subset and the order of training.

    The order alone, or little more, where (nearly) all images of a set are used; the images too,
    where sources had several seeds.

    Args:
        runs: Rows of `results.database.queries.selected_runs`.
    """
    adapted = runs[runs["n_used"] > 0].drop_duplicates("run_id")
    sentences = []
    for label, of_label in adapted.groupby("label"):
        by_n = of_label.groupby("n_asked", dropna=False)
        sentences += [sentence(f"{label} images: {text}") for _, at_n in by_n for text in _at(at_n)]
        if (samples := of_label["source_seeds"].nunique()) > 1:
            text = f"{label} images: {samples} seeds of the source, each with images of its own"
            if of_label.groupby(["n_point", "source_seeds"])["seed"].nunique().max() > 1:
                text += f", in runs of several seeds: a test takes {ENOUGH_SEEDS} of either kind"
            sentences.append(sentence(text))
    return sentences


def _at(runs: pd.DataFrame) -> Iterator[str]:
    """Yield what seeds varied at one n, if they had the same or nearly the same images."""
    if runs["seed"].nunique() < 2 or runs["source_seeds"].nunique() == len(runs):
        return
    share = float((runs["n_used"] / runs["n_kept"]).min())
    n = f"at n = {format_size(int(runs['n_point'].max()))}"
    if share >= 1:
        yield f"{n} a seed varied only the order of training, as all that were kept are used"
    elif share >= _ALMOST_ALL:
        yield (
            f"{n} a seed varied little but the order of training, as {percent(share)} of those "
            "kept are used"
        )
