"""What a pool says of how safe its images are: LAION's flag, and the later probability."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from bench.core.progress import Progress
from sources.pool.columns import Columns, InvalidFileError

FLAGS = {"nsfw": pl.String, "punsafe": pl.Float64}
"""The columns of a match or a nearest image that hold them; null where the pool has none."""

NSFW_DROPPED = ("NSFW", "UNSURE")

MAX_PUNSAFE = 0.1
"""Stable Diffusion 2's model card: trained on LAION-5B with punsafe at most 0.1. As strict as to
drop UNSURE beside NSFW."""

UNFLAGGED = "without a flag column"
"""The count of pairs that nothing is known of."""


def flag_columns(columns: Columns) -> list[pl.Expr]:
    """Return expressions for the columns of `FLAGS`, from a file with such columns."""
    named = {"nsfw": columns.nsfw, "punsafe": columns.punsafe}
    return [
        (pl.lit(None) if name is None else pl.col(name)).cast(FLAGS[flag]).alias(flag)
        for flag, name in named.items()
    ]


def require_probabilities(punsafe: pl.Series) -> None:
    """Make sure that every value is a probability, or missing.

    Raises:
        InvalidFileError: If one is not, a percentage for example.
    """
    wrong = punsafe.drop_nulls().drop_nans()
    wrong = wrong.filter(~wrong.is_between(0, 1))
    if wrong.len():
        raise InvalidFileError(f"its punsafe has {wrong[0]:g}, which is no probability")


def is_flagged() -> pl.Expr:
    """Return whether a row's flag is one that is dropped."""
    return pl.col("nsfw").str.to_uppercase().is_in(NSFW_DROPPED).fill_null(value=False)


def is_unsafe(max_punsafe: float) -> pl.Expr:
    """Return whether a row's probability of being unsafe exceeds a threshold."""
    return (pl.col("punsafe").fill_nan(None) > max_punsafe).fill_null(value=False)


def say_unflagged(counts: Mapping[str, Any], of: int, progress: Progress) -> None:
    """Say how many pairs may be unsafe without anyone knowing; nothing where there are none.

    Args:
        counts: Those of a scan or of a search.
        of: Pairs in all.
        progress: Where to say it.
    """
    if unflagged := counts[UNFLAGGED]:
        progress.say(
            f"{unflagged:,} of {of:,} pairs have neither an NSFW nor a punsafe column: "
            "none of them is left out as unsafe"
        )
