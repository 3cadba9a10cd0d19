"""Decide which matches become candidates: web URLs, not flagged, of one class or of all."""

from typing import Literal

import polars as pl

from sources.pool.columns import WEB_URL
from sources.pool.flags import MAX_PUNSAFE, UNFLAGGED, is_flagged, is_unsafe
from sources.pool.match_file import Matches

Ambiguous = Literal["longest", "drop", "all"]


def resolve(
    matches: Matches, ambiguous: Ambiguous, max_punsafe: float = MAX_PUNSAFE
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the matches to keep, and how many pairs were dropped for which reason.

    Pairs without a web URL are dropped, unless the pool holds its images.

    Args:
        matches: The matches of one file.
        ambiguous: What becomes of a pair with several classes. ``longest`` gives it to the class of
            the highest score and drops a tie, ``drop`` drops it, ``all`` gives it to each class.
        max_punsafe: The highest probability of being unsafe that is kept.

    Returns:
        Rows of ``matches.pairs``, a pair's highest score first, and the counts.
    """
    pairs = matches.pairs.sort("row", "score", "label", descending=(False, True, False))
    is_fetchable = pl.col("url").str.contains(WEB_URL)
    fetchable = pairs.filter(is_fetchable if matches.places is None else pl.lit(value=True))
    classes = pl.len().over("row")
    highest = pl.col("score") == pl.col("score").max().over("row")
    kept = {
        "longest": highest & (highest.sum().over("row") == 1),
        "drop": classes == 1,
        "all": classes >= 1,
    }
    decided = fetchable.filter(kept[ambiguous])
    unflagged = decided.filter(~is_flagged())
    safe = unflagged.filter(~is_unsafe(max_punsafe))
    n_matched, n_fetchable, n_decided = map(_count_pairs, (pairs, fetchable, decided))
    n_unflagged, n_safe = map(_count_pairs, (unflagged, safe))
    return safe, {
        "rows": matches.rows,
        UNFLAGGED: 0 if matches.has_flag else matches.rows,
        "naming a class": n_matched,
        "no web URL": n_matched - n_fetchable,
        "ambiguous": _count_pairs(fetchable.filter(classes > 1)),
        "ambiguous, dropped": n_fetchable - n_decided,
        "flagged NSFW or UNSURE": n_decided - n_unflagged,
        "punsafe too high": n_unflagged - n_safe,
        "pairs": n_safe,
    }


def _count_pairs(rows: pl.DataFrame) -> int:
    return rows["row"].n_unique()
