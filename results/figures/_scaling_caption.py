"""What stands below the scaling figure: everything that a reader must know of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from bench.core.terminal import escaped
from results.drawing.fonts import NOTE, has_numbers
from results.experiment import Experiment
from results.labels import UNADAPTED
from results.wording import listed, metric_names, sentence

_ZERO = 1e-9
"""What adding up in another order may make of no difference."""


def caption(
    experiment: Experiment,
    means: pd.DataFrame,
    key: Mapping[str, str],
    *,
    published: Sequence[str],
    caution: str,
) -> str:
    """Return the caption.

    Args:
        experiment: What the figure is about.
        means: What it shows.
        key: Letter to the name that it stands for.
        published: What published values are of, and where they are from.
        caution: What must stand beside the results; none if empty.
    """
    adapted = means[means["source"] != UNADAPTED]
    metrics = metric_names(means["metric"])
    parts = [
        f"test {metrics} over the number of images used: {experiment.title}, by "
        f"{listed(list(dict.fromkeys(means['evaluator'])))}",
        *(_of_arms(adapted) if len(adapted) else ()),
        *_of_unadapted(means, adapted),
        *([f"hollow marks: published values ({'; '.join(published)})"] if published else ()),
        *([f"names in full: {full_names(key)}"] if key else ()),
        caution,
    ]
    return whole(parts, [*means["label"], *means["evaluator"]])


def whole(parts: Iterable[str], names: Iterable[str]) -> str:
    """Return the parts of a caption as sentences, in characters that any file may hold.

    Args:
        parts: Sentences without capital and full stop; empty ones are left out.
        names: What the figure shows that comes from users.
    """
    note = [NOTE] if has_numbers("".join(names)) else []
    return escaped(" ".join(map(sentence, filter(None, [*parts, *note]))))


def full_names(key: Mapping[str, str]) -> str:
    """Return what letters stand for."""
    return "; ".join(f"{letter} is {name}" for letter, name in key.items())


def extent(counts: pd.Series[int]) -> str:
    """Return a count, or the least and the greatest."""
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def selected(means: pd.DataFrame) -> str:
    """Return who selected the models, in words."""
    adapted = means[means["source"] != UNADAPTED]
    return f"models were selected by {listed(sorted(set(adapted['select_by'])))} on validation data"


def _of_arms(adapted: pd.DataFrame) -> Iterator[str]:
    seeds = adapted["seeds"]
    interval = f"bars are 95 % intervals over {extent(adapted['test_images'])} test images"
    if seeds.max() > 1:
        yield (
            f"marks are means over {extent(seeds)} seeds, bands reach from the lowest to the "
            f"highest, {interval}"
        )
    else:
        yield f"marks are single runs, {interval}"
    if adapted["label"].nunique() > 1:
        yield "arms at one number of images stand side by side, so that equal ones are seen"
    if (adapted["n_used_min"] < adapted["n_used_max"]).any():
        yield "flat bars reach from the least to the most images that runs of a mark used"
    yield selected(adapted)
    if hides_epochs(adapted).any():
        yield "dotted: the best trained epoch, where selection preferred the unadapted model"
    if (end := exhausted_at(adapted)) is not None:
        yield f"grey: there are no more than {end:,} retrieved images"


def _of_unadapted(means: pd.DataFrame, adapted: pd.DataFrame) -> Iterator[str]:
    unadapted = means[means["source"] == UNADAPTED]
    if unadapted.empty:
        return
    yield "dashed, with its square at 0 images: the unadapted model"
    if is_harmed(means):
        yield "tinted: scores below it, where adapting did harm"


def hides_epochs(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return which means are not those of the best trained epochs."""
    return (rows["trained_mean"] - rows["mean"]).abs() > _ZERO


def exhausted_at(adapted: pd.DataFrame) -> int | None:
    """Return how many retrieved images there are, if another source goes beyond; else None."""
    kept = adapted.loc[adapted["source"] == "retrieved", "n_kept"].max()
    return int(kept) if kept < adapted["n_used"].max() else None


def is_harmed(means: pd.DataFrame) -> bool:
    """Return whether adapting made a model worse, at the chosen epoch or the best trained one."""
    is_adapted = means["source"] != UNADAPTED
    least = means[is_adapted].groupby("evaluator")[["mean", "trained_mean"]].min().min(axis=1)
    unadapted = means[~is_adapted].groupby("evaluator")["mean"].max()
    return bool((least < unadapted.reindex(least.index) - _ZERO).any())
