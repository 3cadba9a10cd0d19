"""Which of a file's matches become candidates: web addresses, one class or all, nothing flagged."""

from typing import Literal

import polars as pl

from sources.pool.match_file import Matches
from sources.pool.pool import NSFW_DROPPED

Ambiguous = Literal["longest", "drop", "all"]

_WEB_ADDRESS = "(?i)^https?://"


def resolve(matches: Matches, ambiguous: Ambiguous) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the matches that stay, and how many pairs went for which reason.

    Args:
        matches: What one file has to offer.
        ambiguous: What becomes of a caption that names several classes: it goes to the class of the
            longest spelling, and a tie is dropped; it is dropped; or it goes to all of them.

    Returns:
        Rows of ``matches.found``, a pair's longest spelling first, and the counts.
    """
    found = matches.found.sort("row", "length", "label", descending=(False, True, False))
    fetchable = found.filter(pl.col("url").str.contains(_WEB_ADDRESS))
    classes = pl.len().over("row")
    longest = pl.col("length") == pl.col("length").max().over("row")
    kept = {
        "longest": longest & (longest.sum().over("row") == 1),
        "drop": classes == 1,
        "all": classes >= 1,
    }
    decided = fetchable.filter(kept[ambiguous])
    flagged = pl.col("nsfw").str.to_uppercase().is_in(NSFW_DROPPED).fill_null(value=False)
    safe = decided.filter(~flagged)
    named, reachable, unambiguous = (_pairs(rows) for rows in (found, fetchable, decided))
    return safe, {
        "rows": matches.rows,
        "without an NSFW column": 0 if matches.flagged else matches.rows,
        "named": named,
        "no web address": named - reachable,
        "several classes": _pairs(fetchable.filter(classes > 1)),
        "several classes, dropped": reachable - unambiguous,
        "flagged NSFW or UNSURE": unambiguous - _pairs(safe),
        "pairs": _pairs(safe),
    }


def _pairs(rows: pl.DataFrame) -> int:
    return rows["row"].n_unique()
